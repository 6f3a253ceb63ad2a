"""A window moves forward without a look at its cells where the cells that it enters hold nothing."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.quotas import sliding


def written(cells, writes):
    after = list(cells)
    for cell, value in writes:
        after[cell] = value
    return after


@given(st.integers(0, 10**6), st.integers(0, 10**9), st.integers(1, 200), st.data())
def test_entering_is_advancing(newest, units, step, data):
    held = data.draw(st.dictionaries(st.integers(1, sliding.SUB_BUCKETS), st.integers(1, 10**6), max_size=5))
    cells = [0] * sliding.CELLS
    for ago, value in held.items():
        cells[(newest - ago) % sliding.CELLS] = value
    words, index = (newest, units + sum(held.values()), units, 7), newest + step
    after, writes = sliding.advance(words, cells, index)
    first, last = sliding.entered(newest, index)
    if any(cells[first:last]):  # at least those that leave are looked at
        assert step + max(held) > sliding.SUB_BUCKETS or (first, last) == (0, sliding.CELLS)
        return
    assert sum(cells) == 0 or step <= sliding.SUB_BUCKETS
    quick, quick_writes = sliding.enter(words, index)
    assert quick == after
    assert written(cells, quick_writes) == written(cells, writes)
