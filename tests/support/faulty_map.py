"""A mapping of a file whose process dies at a chosen write: nothing, half or all of that write happens."""

import mmap


class Died(BaseException):
    """The process is gone at this instant."""


class FaultyMap(mmap.mmap):
    """``die_at = k`` dies in the k-th write from now (0: the next), after ``torn`` of its bytes (0.0 to 1.0)."""

    die_at: int | None = None
    torn: float = 0.0
    writes: int = 0

    def __setitem__(self, place, value):  # type: ignore[no-untyped-def, override]
        if FaultyMap.die_at is not None:
            if FaultyMap.die_at <= 0:
                if isinstance(place, slice):
                    kept = int(len(value) * FaultyMap.torn)
                    super().__setitem__(slice(place.start, place.start + kept), value[:kept])
                elif FaultyMap.torn >= 1:
                    super().__setitem__(place, value)
                raise Died
            FaultyMap.die_at -= 1
        FaultyMap.writes += 1
        super().__setitem__(place, value)

    @classmethod
    def live(cls) -> None:
        """Nobody dies any more."""
        cls.die_at = None
