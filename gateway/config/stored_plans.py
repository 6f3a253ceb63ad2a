"""Plans of the store beside the configuration's: the same blocks, the same checks (SEMANTICS §32: one owner each)."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError

from gateway.config.accounts import event_rules
from gateway.config.compile import plan_version
from gateway.config.limit_schema import compile_limits, reported_kinds
from gateway.config.schema import PlanBlock
from gateway.config.snapshot import PlanLimits, Snapshot
from gateway.config.validate import validate
from gateway.config.yaml_tree import Tree
from gateway.errors import Fault

logger = logging.getLogger(__name__)


def with_plans(snapshot: Snapshot, stored: Mapping[str, object]) -> Snapshot:
    """The snapshot with the store's plans; a name that the configuration has too is the configuration's."""
    own = snapshot.source.get("plans")
    written = dict(own) if isinstance(own, dict) else {}
    of_calls = {meter.name for route in snapshot.routes for meter in route.meters}
    rules = event_rules(snapshot.source).values()
    reported = reported_kinds(((rule.meter, rule.aggregate) for rule in rules), of_calls)
    added: dict[str, object] = {}
    limits: dict[str, PlanLimits] = {}
    for name, block in stored.items():
        if name in written:
            continue
        try:
            parsed = PlanBlock.model_validate(block)
        except ValidationError as error:  # an older gateway accepted it
            logger.error("a stored plan is not understood", extra={"plan": name, "faults": error.error_count()})
            continue
        added[name] = block
        version = plan_version(name, {"plans": {name: block}})
        limits[name] = PlanLimits(name, version, compile_limits(parsed.limits, reported))
    if not added:
        return snapshot
    return replace(
        snapshot,
        plans={**snapshot.plans, **limits},
        source={**snapshot.source, "plans": {**written, **added}},
        stored_plans=frozenset(added),
    )


def check_plan(snapshot: Snapshot, name: str, block: Mapping[str, object]) -> list[Fault]:
    """Every fault of a plan beside the present configuration; ``field`` is the path within the plan."""
    plans = snapshot.source.get("plans")
    beside = {other: plan for other, plan in plans.items() if other != name} if isinstance(plans, dict) else {}
    document = {**snapshot.source, "tenants": {}, "plans": {**beside, name: dict(block)}}
    _, faults = validate(document, Tree(), snapshot.folder)
    prefix = f"plans.{name}"
    return [
        Fault(fault.file, fault.line, fault.field.removeprefix(prefix).removeprefix("."), fault.message)
        for fault in faults
        if fault.field.startswith(prefix)
    ]
