"""What must fit together about people and events."""

from collections.abc import Collection, Iterator

from gateway.config.nearest import hint
from gateway.config.schema import Document
from gateway.config.yaml_tree import FieldPath

ADDED_UP = ("sum", "count")


def check_people(document: Document, plans: Collection[str]) -> Iterator[tuple[FieldPath, str]]:
    """Faults of ``accounts`` and ``events``."""
    accounts = document.accounts
    if accounts.registration != "closed" and accounts.default_plan not in plans:
        found = f'no plan "{accounts.default_plan}"{hint(accounts.default_plan, plans)}; who registers needs one'
        yield ("accounts", "default_plan"), found
    of_routes = {meter for route in document.routes.values() for meter in route.meters} | {"calls"}
    how: dict[str, str] = {}
    for name, event in document.events.items():
        path: FieldPath = ("events", name)
        if event.aggregate in ("max", "latest", "unique") and event.value is None:
            yield path, f"aggregate: {event.aggregate} needs value, the path of it in the event's data"
        if how.setdefault(event.meter, event.aggregate) != event.aggregate:
            yield (*path, "aggregate"), f'"{event.meter}" has one aggregate; another type says {how[event.meter]}'
        if event.meter in of_routes and event.aggregate not in ADDED_UP:
            yield (*path, "meter"), f'"{event.meter}" is a meter of calls too: only sum and count add to it'
