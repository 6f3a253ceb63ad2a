"""Limits on meters that events report (storage, seats, jobs): calls take nothing of them, and are refused by what was
told.

The counter holds the quantity that the ledger makes of the window's events; the shipper sets it. A call reserves 0, so
that the state comes back with the decision, and passes while there is room: less than the maximum of what adds up,
no more than the maximum of a level. A level's counter has one unit more, so that both have room or have not.
"""

from gateway.quotas.counter import Decision, DecisionFlag, LimitState
from gateway.quotas.limit import Limit


def room_above(limit: Limit) -> int:
    """What a counter's maximum is above its limit's."""
    return 1 if limit.reported == "level" else 0


def judged(decision: Decision) -> Decision:
    """The decision with what was reported taken into account."""
    states, admitted, flags = [], decision.admitted, decision.flags
    for state in decision.states:
        limit = state.limit
        if not limit.reported:
            states.append(state)
            continue
        shut = state.remaining < 1
        left = max(0, state.remaining - room_above(limit))
        retry_us = state.reset_us if shut else 0
        states.append(LimitState(limit, left, state.reset_us, shut, retry_us, state.window_us))
        if shut and limit.mode == "hard":
            admitted = False
        elif shut and limit.mode == "soft":
            flags |= int(DecisionFlag.OVERAGE)
    return Decision(admitted, decision.at_us, tuple(states), flags)
