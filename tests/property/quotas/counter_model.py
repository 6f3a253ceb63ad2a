"""The reference: every unit ever counted, in a list, and the definitions of SEMANTICS §13 read off it."""

from dataclasses import dataclass, field
from fractions import Fraction

from gateway.quotas.counter import Counter
from gateway.quotas.limit import Algorithm


@dataclass
class Unit:
    """What one call holds in one counter: made at ``at_us``."""

    at_us: int
    units: int


@dataclass
class Model:
    """Counters by key. Buckets keep a history of pours instead, because their level depends on its order."""

    units: dict[bytes, list[Unit]] = field(default_factory=dict)
    pours: dict[bytes, list[tuple[int, Fraction]]] = field(default_factory=dict)

    def used(self, counter: Counter, at_us: int) -> int | Fraction:
        """Units that count at an instant."""
        held = self.units.get(counter.key, [])
        match counter.algorithm:
            case Algorithm.CALENDAR:
                length = counter.bounds.end_us - counter.bounds.start_us  # the tests' windows are minutes of UTC
                return sum(unit.units for unit in held if unit.at_us // length == at_us // length)
            case Algorithm.SLIDING:
                width = Fraction(counter.window_us, 60)
                newest = at_us // width
                return sum(unit.units for unit in held if unit.at_us // width >= newest - 60)
            case Algorithm.BUCKET:
                return self._level(counter, at_us)
            case Algorithm.CONCURRENT:
                return sum(unit.units for unit in held)

    def passes(self, counter: Counter, cost: int, at_us: int) -> bool:
        size = counter.burst if counter.algorithm is Algorithm.BUCKET else counter.max
        return cost == 0 or self.used(counter, at_us) + cost <= size

    def remaining(self, counter: Counter, at_us: int) -> int:
        size = counter.burst if counter.algorithm is Algorithm.BUCKET else counter.max
        return max(0, int((size - self.used(counter, at_us)) // 1))

    def take(self, counter: Counter, cost: int, at_us: int) -> Unit:
        unit = Unit(at_us, cost)
        if counter.algorithm is Algorithm.BUCKET:
            self.pours.setdefault(counter.key, []).append((at_us, Fraction(cost)))
        else:
            self.units.setdefault(counter.key, []).append(unit)
        return unit

    def correct(self, counter: Counter, unit: Unit, delta: int, now_us: int) -> None:
        """Replace what a call holds; a bucket gives back at most what has not drained of it since."""
        if counter.algorithm is not Algorithm.BUCKET:
            unit.units += delta
            return
        change = Fraction(delta)
        if delta < 0:
            drained = Fraction(counter.max * (now_us - unit.at_us), counter.window_us)
            change = -max(Fraction(0), -change - drained)
        self.pours[counter.key].append((now_us, change))

    def _level(self, counter: Counter, at_us: int) -> Fraction:
        level, last = Fraction(0), 0
        rate = Fraction(counter.max, counter.window_us)
        for when, units in self.pours.get(counter.key, []):
            level = max(Fraction(0), max(Fraction(0), level - rate * (when - last)) + units)
            last = when
        return max(Fraction(0), level - rate * (at_us - last))
