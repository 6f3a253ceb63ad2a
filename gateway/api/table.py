"""The one table of operations. Routing, permissions, validation, OpenAPI and the documentation page come from it."""

from gateway.api.operation import Operation
from gateway.api.resources import auth, billing, calls, events, keys, money, people, plans, platform, tenants, usage

OPERATIONS: tuple[Operation, ...] = (
    *auth.OPERATIONS,
    *people.OPERATIONS,
    *tenants.OPERATIONS,
    *keys.OPERATIONS,
    *usage.OPERATIONS,
    *calls.OPERATIONS,
    *events.OPERATIONS,
    *billing.OPERATIONS,
    *money.OPERATIONS,
    *plans.OPERATIONS,
    *platform.OPERATIONS,
)
