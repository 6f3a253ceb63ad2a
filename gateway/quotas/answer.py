"""What a caller is told about its limits: rate-limit fields on every answer, and the facts of a 429."""

from collections.abc import Sequence
from typing import Final

from gateway.http.ratelimit import MAX_INTEGER, Style, ietf_fields, policy_item, string, whole_seconds, x_fields
from gateway.quotas.counter import Decision, LimitState
from gateway.quotas.limit import Algorithm, Limit

_UNITS: Final = {"calls": "", "request_bytes": "content-bytes", "response_bytes": "content-bytes"}
_CACHED: Final = 10_000

_texts: Final[dict[tuple[int, int], tuple[Limit, str, str]]] = {}
"""By (identity of the limit, window): the limit itself (its identity stays taken), its policy, the head of its item."""


def _texts_of(limit: Limit, window_us: int) -> tuple[Limit, str, str]:
    if len(_texts) >= _CACHED:
        _texts.clear()
    concurrent = limit.algorithm is Algorithm.CONCURRENT
    unit = "concurrent-requests" if concurrent else _UNITS.get(limit.meter, limit.meter)
    policy = policy_item(limit.name, limit.max, None if concurrent else max(1, whole_seconds(window_us)), unit)
    texts = _texts[id(limit), window_us] = (limit, policy, f"{string(limit.name)};r=")
    return texts


def limit_fields(states: Sequence[LimitState], at_us: int, style: str) -> list[tuple[bytes, bytes]]:
    """The fields of an answer decided at ``at_us``. Shadow limits are the operator's own and are never shown.

    ``t`` never exceeds the window; a concurrency limit has neither ``w`` nor ``t`` (nobody knows when a call ends).
    """
    if style == "off":
        return []
    fields = _older_fields(states, at_us) if style != "ietf" else []
    return _ietf_fields(states, at_us) + fields if style != "x-ratelimit" else fields


def _ietf_fields(states: Sequence[LimitState], at_us: int) -> list[tuple[bytes, bytes]]:
    policies, items = [], []
    for state in states:
        limit, window_us, remaining = state.limit, state.window_us, state.remaining
        if limit.mode == "shadow":
            continue
        _, policy, head = _texts.get((id(limit), window_us)) or _texts_of(limit, window_us)
        policies.append(policy)
        if remaining > MAX_INTEGER:
            remaining = MAX_INTEGER
        if window_us:
            items.append(f"{head}{remaining};t={_reset_s(state, at_us)}")
        else:
            items.append(f"{head}{remaining}")
    return ietf_fields(policies, items) if items else []


class _Shape:
    """The IETF fields of the same limits in the same windows: text with gaps for the figures."""

    __slots__ = ("rows", "template")

    def __init__(self, states: Sequence[LimitState]) -> None:
        self.rows = [(state.limit, state.window_us) for state in states]
        policies, items = [], []
        for limit, window_us in self.rows:
            _, policy, head = _texts.get((id(limit), window_us)) or _texts_of(limit, window_us)
            policies.append(policy)
            items.append(head.replace("%", "%%") + ("%d;t=%d" if window_us else "%d"))
        text = f"RateLimit-Policy: {', '.join(policies)}".replace("%", "%%")
        self.template = f"{text}\r\nRateLimit: {', '.join(items)}\r\n".encode("ascii")


_shapes: Final[dict[tuple[int, int], _Shape]] = {}
"""By (identity of the first limit, how many): what was last asked for. A shape keeps its limits' identities taken."""


def limit_lines(states: Sequence[LimitState], at_us: int, style: str) -> bytes:
    """``limit_fields`` as lines, ready to be sent; what repeats from call to call is made once."""
    if style == "ietf" and states:
        shape = _shapes.get((id(states[0].limit), len(states)))
        if shape is not None:
            figures: list[int] = []
            rows = shape.rows
            for place, state in enumerate(states):
                limit, window_us = rows[place]
                if state.limit is not limit or state.window_us != window_us:
                    break
                remaining = state.remaining
                figures.append(remaining if remaining < MAX_INTEGER else MAX_INTEGER)
                if window_us:
                    left_us = state.reset_us - at_us
                    if left_us > window_us:
                        left_us = window_us
                    figures.append(-(-left_us // 1_000_000) if left_us > 0 else 0)
            else:
                return shape.template % tuple(figures)
        if all(state.limit.mode != "shadow" for state in states):
            if len(_shapes) >= _CACHED:
                _shapes.clear()
            _shapes[id(states[0].limit), len(states)] = _Shape(states)
    return b"".join([b"%b: %b\r\n" % field for field in limit_fields(states, at_us, style)])


def _older_fields(states: Sequence[LimitState], at_us: int) -> list[tuple[bytes, bytes]]:
    shown = [state for state in states if state.limit.mode != "shadow"]
    if not shown:
        return []
    # A soft limit never refuses, so a hard one says more about what is left.
    tightest = min(shown, key=lambda state: (state.limit.mode != "hard", not state.violated, state.remaining))
    return x_fields(tightest.limit.max, tightest.remaining, _reset_s(tightest, at_us))


def _reset_s(state: LimitState, at_us: int) -> int:
    left_us = state.reset_us - at_us
    if left_us > state.window_us:
        left_us = state.window_us
    return -(-left_us // 1_000_000) if left_us > 0 else 0


def violated(decision: Decision) -> tuple[LimitState, ...]:
    """The limits that refused the call: hard ones only."""
    return tuple(state for state in decision.states if state.violated and state.limit.mode == "hard")


def violated_policies(decision: Decision) -> list[str]:
    """Their names, for the problem's ``violated-policies``."""
    return [state.limit.name for state in violated(decision)]


def retry_after(decision: Decision) -> int | None:
    """Seconds for ``Retry-After``: max(1, ceil(t − now)) over all violated limits; None if no waiting helps."""
    refusing = violated(decision)
    if not refusing or any(state.retry_us < 0 for state in refusing):
        return None
    return max(1, whole_seconds(max(state.retry_us for state in refusing) - decision.at_us))


def refusal_code(decision: Decision) -> str:
    """The problem's stable code: ``cost_exceeds_limit`` when the call can never pass, else ``limit_exceeded``."""
    never = any(state.retry_us < 0 for state in violated(decision))
    return "cost_exceeds_limit" if never else "limit_exceeded"


__all__ = ["Style", "limit_fields", "limit_lines", "refusal_code", "retry_after", "violated", "violated_policies"]
