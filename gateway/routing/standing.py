"""Whether a target may be given calls: one mechanism for calls that fail and for active checks that fail. Pure.

A target is ejected after ``failures`` in a row and comes back when its time is over and one call, the probe, succeeds;
each time it fails again the pause doubles. Where it is checked actively, only a check brings it back. A call belongs to
the term that it was given in: what came of one from before an ejection says nothing about the target as it is now.
"""

from enum import Enum

from gateway.routing.route import Ejection

LONGEST_PAUSE_US = 300_000_000


class Standing(Enum):
    """What a target is to its upstream."""

    IN = "in"
    OUT = "out"
    PROBED = "probed"


class Trigger(Enum):
    """What happened."""

    FAILED_OFTEN = "failed often"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    TIME_OVER = "time over"


TRANSITIONS: dict[tuple[Standing, Trigger], Standing] = {
    (Standing.IN, Trigger.FAILED_OFTEN): Standing.OUT,
    (Standing.OUT, Trigger.TIME_OVER): Standing.PROBED,
    (Standing.OUT, Trigger.SUCCEEDED): Standing.IN,
    (Standing.PROBED, Trigger.SUCCEEDED): Standing.IN,
    (Standing.PROBED, Trigger.FAILED): Standing.OUT,
}


class Conduct:
    """One target's history. ``checked``: there are active checks. Times are microseconds of any one clock."""

    __slots__ = (
        "_check_failures", "_failures", "_pause_us", "_probe_out", "_until_us", "checked", "rule", "standing", "term",
    )  # fmt: skip

    def __init__(self, rule: Ejection, *, checked: bool) -> None:
        self.rule = rule
        self.checked = checked
        self.standing = Standing.IN
        self.term = 0
        self._failures = 0
        self._check_failures = 0
        self._pause_us = 0
        self._until_us = 0
        self._probe_out = False

    def admits(self, now_us: int) -> bool:
        """Whether a call may go there now."""
        if self.standing is Standing.IN:
            return True
        if self.standing is Standing.OUT and not self.checked and now_us >= self._until_us:
            self._move(Trigger.TIME_OVER)
            self._probe_out = False
        return self.standing is Standing.PROBED and not self._probe_out

    def given(self) -> None:
        """A call goes there, in the present ``term``: while the target is on probation it is the only one."""
        self._probe_out = True

    def returned(self, term: int) -> None:
        """A call of that term is over, whatever came of it: another may be the probe if it told nothing."""
        if term == self.term:
            self._probe_out = False

    def succeeded(self, term: int) -> bool:
        """A call of that term was answered; True when the target is back."""
        if term != self.term:
            return False
        self._failures = 0
        if self.standing is Standing.PROBED:
            return self._back()
        return False  # an answer to a call that was given before: a check or a probe decides

    def failed(self, now_us: int, term: int) -> bool:
        """A call of that term failed by the target's fault; True when the target is ejected now."""
        if term != self.term:
            return False
        self._failures += 1
        if self.standing is Standing.PROBED:
            return self._out(Trigger.FAILED, now_us)
        if self.standing is Standing.IN and self._failures >= self.rule.failures:
            return self._out(Trigger.FAILED_OFTEN, now_us)
        return False

    def check_succeeded(self) -> bool:
        """An active check passed; True when the target is back."""
        self._check_failures = 0
        return self.standing is not Standing.IN and self._back()

    def check_failed(self, now_us: int, most: int) -> bool:
        """An active check failed; ``most`` in a row eject. True when the target is ejected now."""
        self._check_failures += 1
        if self.standing is Standing.IN and self._check_failures >= most:
            return self._out(Trigger.FAILED_OFTEN, now_us)
        return False

    def _out(self, trigger: Trigger, now_us: int) -> bool:
        self._move(trigger)
        self._pause_us = min(self._pause_us * 2 or self.rule.pause_us, max(LONGEST_PAUSE_US, self.rule.pause_us))
        self._until_us = now_us + self._pause_us
        return True

    def _back(self) -> bool:
        self._move(Trigger.SUCCEEDED)
        self._failures = self._check_failures = self._pause_us = 0
        return True

    def _move(self, trigger: Trigger) -> None:
        self.standing = TRANSITIONS[self.standing, trigger]
        self.term += 1
