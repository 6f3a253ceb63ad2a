"""What is owed to Redis: one by one, and as sums when there is too much of it."""

from gateway.clock import SECOND_US
from gateway.counters.redis_owed import AT_ONCE, Owed, OwedCalls
from gateway.quotas.counter import Reservation

ONE, OTHER = Reservation((), b"one"), Reservation((), b"other")


def call(number: int, at_us: int = 0, reservation: Reservation = ONE, epoch: str = "") -> Owed:
    return Owed(number.to_bytes(16, "big"), at_us, reservation, (1, 2), epoch)


def everything(owed: OwedCalls) -> list[Owed]:
    return [one for part in owed.parts() for one in part]


def test_an_end_is_owed_until_it_was_told():
    owed = OwedCalls()
    owed.add(call(1))
    owed.add(call(1))
    owed.add(call(2, epoch="e"))
    assert len(owed) == 2
    owed.told([call(1), call(7)])
    assert everything(owed) == [call(2, epoch="e")]


def test_parts_are_small_and_may_be_told_between():
    owed = OwedCalls()
    for number in range(AT_ONCE + 1):
        owed.add(call(number))
    sizes = []
    for part in owed.parts():
        sizes.append(len(part))
        owed.told(part)
    assert sizes == [AT_ONCE, 1]
    assert len(owed) == 0


def test_too_many_become_sums_of_one_reservation_and_moment_and_nothing_is_lost():
    owed = OwedCalls(one_by_one=4)
    calls = 300
    for number in range(calls):
        owed.add(call(number, number * SECOND_US // 10, (ONE, OTHER)[number % 2]))
    assert len(owed) < 30
    for reservation in (ONE, OTHER):
        mine = [one for one in everything(owed) if one.reservation is reservation]
        assert [sum(figures) for figures in zip(*(one.actual for one in mine), strict=True)] == [calls // 2, calls]
        assert [one.at_us for one in mine] == sorted(one.at_us for one in mine)


def test_a_sum_that_is_being_told_grows_no_more():
    owed = OwedCalls(one_by_one=1)
    owed.add(call(1))
    owed.add(call(2))
    [first_part] = owed.parts()
    owed.add(call(3))
    owed.told(first_part)
    assert everything(owed) == [call(3)]


def test_what_an_epoch_holds_is_never_summed():
    owed = OwedCalls(one_by_one=1)
    for number in range(3):
        owed.add(call(number, epoch="e"))
    assert len(owed) == 3


def test_what_an_epoch_may_hold_and_what_was_let_pass_of_one_call_are_both_owed():
    owed = OwedCalls()
    unanswered, passed = call(1, epoch="e"), call(1)
    owed.add(unanswered)
    [part] = owed.parts()  # being told, while the call that policy let pass ends
    owed.add(passed)
    owed.told(part)
    assert everything(owed) == [passed]


def test_an_end_that_changed_while_it_was_told_is_still_owed():
    owed = OwedCalls()
    owed.add(call(1, epoch="e"))
    [part] = owed.parts()
    later = call(1, at_us=5, epoch="e")
    owed.add(later)
    owed.told(part)
    assert everything(owed) == [later]
