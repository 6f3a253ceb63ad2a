"""What a caller is told about its limits: rate-limit fields on every answer, and the facts of a 429."""

from collections.abc import Sequence

from gateway.http.ratelimit import Style, ietf_fields, policy_item, string, whole_seconds, x_fields
from gateway.quotas.counter import Decision, LimitState
from gateway.quotas.limit import Algorithm, Limit

_UNITS = {"calls": "", "request_bytes": "content-bytes", "response_bytes": "content-bytes"}
_CACHED = 10_000

_texts: dict[tuple[int, int], tuple[Limit, str, str]] = {}
"""By (identity of the limit, window): the limit itself (so that its identity stays taken), its policy, its name."""


def _texts_of(limit: Limit, window_us: int) -> tuple[Limit, str, str]:
    concurrent = limit.algorithm is Algorithm.CONCURRENT
    unit = "concurrent-requests" if concurrent else _UNITS.get(limit.meter, limit.meter)
    policy = policy_item(limit.name, limit.max, None if concurrent else max(1, whole_seconds(window_us)), unit)
    if len(_texts) >= _CACHED:
        _texts.clear()
    texts = _texts[id(limit), window_us] = (limit, policy, string(limit.name))
    return texts


def limit_fields(states: Sequence[LimitState], at_us: int, style: str) -> list[tuple[bytes, bytes]]:
    """The fields of an answer decided at ``at_us``. Shadow limits are the operator's own and are never shown.

    ``t`` never exceeds the window; a concurrency limit has neither ``w`` nor ``t`` (nobody knows when a call ends).
    """
    shown = [state for state in states if state.limit.mode != "shadow"]
    if style == "off" or not shown:
        return []
    fields: list[tuple[bytes, bytes]] = []
    if style != "x-ratelimit":
        policies, items = [], []
        for state in shown:
            limit, window_us = state.limit, state.window_us
            _, policy, name = _texts.get((id(limit), window_us)) or _texts_of(limit, window_us)
            policies.append(policy)
            if window_us:
                items.append(f"{name};r={state.remaining};t={_reset_s(state, at_us)}")
            else:
                items.append(f"{name};r={state.remaining}")
        fields = ietf_fields(policies, items)
    if style != "ietf":
        tightest = min(shown, key=lambda state: (not state.violated, state.remaining))
        fields += x_fields(tightest.limit.max, tightest.remaining, _reset_s(tightest, at_us))
    return fields


def _reset_s(state: LimitState, at_us: int) -> int:
    return -(-max(0, min(state.reset_us - at_us, state.window_us)) // 1_000_000)


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


__all__ = ["Style", "limit_fields", "refusal_code", "retry_after", "violated", "violated_policies"]
