"""A copy of a wrong document that holds only what is right, so that the checks between blocks can run on the rest."""

import copy
from collections.abc import Iterable
from itertools import count

from gateway.config.defaults import DEFAULTS
from gateway.config.yaml_tree import FieldPath

NAMED = ("upstreams", "routes", "plans", "tenants")
ROUNDS = 3
"""Wrong fields are left out first, then list entries are replaced by harmless ones, then named entries are left out."""

_serial = count()


def repaired(document: dict[str, object], wrong: Iterable[FieldPath], attempt: int) -> dict[str, object]:
    """The document without what is wrong; ``attempt`` counts from 0 and cuts larger pieces each time."""
    rest = copy.deepcopy(document)
    for path in wrong:
        _cut(rest, path, attempt)
    return rest


def _cut(rest: dict[str, object], path: FieldPath, attempt: int) -> None:
    section = str(path[0]) if path else ""
    entries = rest.get(section)
    container = _container(rest, path)
    if len(path) == 1 or section not in NAMED or not isinstance(entries, dict):
        if attempt == 0 and len(path) > 1 and isinstance(container, dict) and section not in NAMED:
            container.pop(path[-1], None)
            if isinstance(default := DEFAULTS.get(section), dict) and path[-1] in default and len(path) == 2:
                container[path[-1]] = default[str(path[-1])]
        elif section in NAMED or section in DEFAULTS:
            rest[section] = copy.deepcopy(DEFAULTS.get(section, {}))
        else:
            rest.pop(section, None)
    elif attempt == 0 and len(path) > 2 and isinstance(container, dict):
        container.pop(path[-1], None)
    elif attempt <= 1 and len(path) >= 4 and _replace(entries, path):
        return
    else:
        entries.pop(str(path[1]), None)


def _replace(entries: dict[str, object], path: FieldPath) -> bool:
    """Put a harmless limit, price, key, meter or path in the place of a wrong one: other positions stay true."""
    entry = entries.get(str(path[1]))
    items = entry.get(str(path[2])) if isinstance(entry, dict) else None
    index, serial = path[3], next(_serial)
    if isinstance(items, dict) and path[2:4] == ("match", "paths"):
        items["paths"] = [f"/wrong-{serial}"]
        return True
    if isinstance(items, dict) and path[2] == "meters":
        items[str(index)] = 1
        return True
    if not isinstance(items, list) or not isinstance(index, int) or index >= len(items):
        return False
    name = items[index].get("name") if isinstance(items[index], dict) else None
    match path[2]:
        case "limits":
            items[index] = {"name": name if isinstance(name, str) else f"wrong-{serial}", "concurrent": 1}
        case "prices":
            items[index] = {"type": "flat", "amount": 0}
        case "keys":
            items[index] = {"id": f"wrong-{serial}", "hash": f"sha256:{serial:064x}"}
        case _:
            return False
    return True


def _container(rest: object, path: FieldPath) -> object:
    value = rest
    for part in path[:-1]:
        if isinstance(value, dict):
            value = value.get(str(part))
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value
