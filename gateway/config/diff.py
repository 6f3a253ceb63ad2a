"""What changes between two configurations, in people's words. Secrets are compared, never told."""

from collections.abc import Iterator, Mapping

from gateway.config.snapshot import Snapshot
from gateway.config.validate import SECRET_FIELDS

RESTART = (
    ("server", "listen"),
    ("server", "control"),
    ("server", "portal"),
    ("server", "workers"),
    ("server", "tls"),
    ("server", "clients"),
    ("data_dir",),
    ("store", "url"),
    ("counters", "url"),
    ("counters", "deadline"),
    ("spool", "fsync"),
    ("spool", "max_size"),
    ("plugins",),
)
"""Fields that the running processes take at their start."""

Path = tuple[str, ...]


def diff(old: Snapshot, new: Snapshot) -> list[str]:
    """One line a change, such as ``plans.free.limits.calls: max 10 -> 20``; empty when nothing changes."""
    return [_line(path, before, after) for path, before, after in _changes((), old.source, new.source)]


def restart_needed(old: Snapshot, new: Snapshot) -> list[str]:
    """The changed fields that take effect at the next start only."""
    return [".".join(path) for path in RESTART if _at(old.source, path) != _at(new.source, path)]


def keep_until_restart(old: Snapshot, new: Snapshot) -> dict[str, object]:
    """The new document with the old values of what only a restart may change."""
    document = {name: dict(value) if isinstance(value, dict) else value for name, value in new.source.items()}
    for *parents, field in RESTART:
        inner = document
        for parent in parents:
            inner = inner[parent]  # type: ignore[assignment]
        inner[field] = _at(old.source, (*parents, field))
    return document


class _Absent:
    """Stands for a field that is not written; falsy, and equal to itself only."""

    def __bool__(self) -> bool:
        return False


_ABSENT = _Absent()


def _at(document: Mapping[str, object], path: Path) -> object:
    value: object = document
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _changes(path: Path, old: object, new: object) -> Iterator[tuple[Path, object, object]]:
    old_map, new_map = _named(old), _named(new)
    if old == new:
        return
    if old_map is None or new_map is None:
        yield path, old, new
        return
    for name in dict.fromkeys((*old_map, *new_map)):
        yield from _changes((*path, name), old_map.get(name, _ABSENT), new_map.get(name, _ABSENT))


def _named(value: object) -> dict[str, object] | None:
    """A map, or a list whose entries have names of their own (limits by name, keys by id), as a map."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value:
        for label in ("name", "id"):
            names = [entry.get(label) if isinstance(entry, dict) else None for entry in value]
            if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
                return {str(name): entry for name, entry in zip(names, value, strict=True)}
    return None


def _line(path: Path, before: object, after: object) -> str:
    where, field = ".".join(path[:-1]), path[-1]
    prefix = f"{where}: {field}" if where else field
    full = ".".join(path)
    if before is _ABSENT and isinstance(after, dict):
        return f"{full}: added"
    if after is _ABSENT and isinstance(before, dict):
        return f"{full}: removed"
    if path in SECRET_FIELDS:
        return f"{prefix} changed"
    return f"{prefix} {_shown(before)} -> {_shown(after)}"


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "(default)"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_shown(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)
