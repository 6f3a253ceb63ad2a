"""A window that holds units in its newest sub-bucket only moves forward without a look at its cells."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.quotas import sliding


@given(st.integers(0, 10**6), st.integers(0, 10**9), st.integers(1, 200))
def test_entering_is_advancing(newest, units, step):
    words, cells = (newest, units, units, 7), [0] * sliding.CELLS
    after, writes = sliding.advance(words, cells, newest + step)
    quick, quick_writes = sliding.enter(words, newest + step)
    assert quick == after
    left, quick_left = list(cells), list(cells)
    for cell, value in writes:
        left[cell] = value
    for cell, value in quick_writes:
        quick_left[cell] = value
    assert quick_left == left
