"""Tenants: the platform makes, changes, suspends and closes them; settings are the tenant's own."""

import re
from typing import Annotated, Literal

import msgspec
from pydantic import AfterValidator, Field

from gateway.accounts.refused import managed_by_config
from gateway.api.operation import Allowed, Call, Operation, Reply
from gateway.api.problems import NOT_FOUND, ApiError, FieldError
from gateway.api.values import Listed, Model, Name, PageQuery, Time, Zone, time_text
from gateway.ids import new_id
from gateway.invoicing.changing import Target
from gateway.invoicing.office import NotFound
from gateway.storage.account_values import TenantSettings
from gateway.storage.ports import PLATFORM, Scope
from gateway.tenants.model import Tenant, TenantStatus

MAX_UNITS = 10**15
Override = dict[Literal["max", "burst"], Annotated[int, Field(ge=0, le=MAX_UNITS)]]
PlanName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
LimitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
LOCALE = r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"


def _locale(text: str) -> str:
    if not re.fullmatch(LOCALE, text):
        raise ValueError('expected a language tag such as "en" or "de-AT"')
    return text


class TenantMake(Model):
    """A new organisation. ``limits`` are maxima that differ from the plan's, by the limit's name."""

    name: Name
    plan: PlanName
    timezone: Zone = "UTC"
    billing_cycle: Literal["month", "year"] = "month"
    limits: dict[LimitName, Override] = Field({}, max_length=50)


class TenantChange(Model):
    """What changes; the rest stays."""

    name: Name = ""
    plan: PlanName = ""
    timezone: Zone = "UTC"
    billing_cycle: Literal["month", "year"] = "month"
    limits: dict[LimitName, Override] = Field({}, max_length=50)


class TenantView(Model):
    """An organisation. ``source`` says who owns its fields: the store, or the configuration files."""

    id: str
    name: str
    plan: str
    timezone: str
    billing_cycle: Literal["month", "year"]
    status: TenantStatus
    source: Literal["yaml", "store"]
    limits: dict[str, dict[str, int]]
    created_at: Time

    @classmethod
    def of(cls, tenant: Tenant, created_us: int) -> "TenantView":
        return cls(
            id=tenant.id, name=tenant.name, plan=tenant.plan, timezone=tenant.timezone,
            billing_cycle=tenant.billing_cycle, status=tenant.status, source=tenant.source,
            limits={name: dict(override) for name, override in tenant.limits.items()}, created_at=time_text(created_us),
        )  # fmt: skip


class TenantList(Listed[TenantView]):
    """Tenants by id, closed ones too."""


class TenantQuery(PageQuery):
    """Of one status, on one plan; all when left out."""

    status: TenantStatus | None = None
    plan: PlanName | None = None


class Settings(Model):
    """How the tenant's people want things written. ``timezone`` decides where days, months and bills begin."""

    locale: Annotated[str, AfterValidator(_locale), Field(json_schema_extra={"pattern": LOCALE})] | None
    date_format: Literal["iso", "dmy", "mdy"] | None
    timezone: str


class SettingsChange(Model):
    """What changes; the rest stays. Null: as the reader's own program likes it."""

    locale: Annotated[str, AfterValidator(_locale), Field(json_schema_extra={"pattern": LOCALE})] | None = None
    date_format: Literal["iso", "dmy", "mdy"] | None = None
    timezone: Zone = "UTC"


async def list_tenants(call: Call) -> Reply:
    query = call.query(TenantQuery)
    page = await call.services.store.tenants.list(
        PLATFORM, query.limit, query.after, status=query.status or "", plan=query.plan or ""
    )
    created = await call.services.store.tenants.created(PLATFORM, [one.id for one in page.rows])
    return Reply(TenantList(data=[TenantView.of(one, created[one.id]) for one in page.rows], next=page.next))


async def get_tenant(call: Call) -> Reply:
    return Reply(await _view(call, call.tenant))


async def create_tenant(call: Call) -> Reply:
    given, now = call.body(TenantMake), call.now_us
    _plan_exists(call, given.plan)
    limits = {name: {str(field): value for field, value in one.items()} for name, one in given.limits.items()}
    tenant = Tenant(
        new_id("ten", now), given.name, given.plan, given.timezone, given.billing_cycle, source="store", limits=limits
    )
    sequence = await call.services.store.tenants.create(PLATFORM, tenant, now)
    call.tenant_or_none = tenant
    await call.audit("tenant.created", tenant.id, {"plan": tenant.plan})
    await call.services.applied(sequence)
    return Reply(await _view(call, tenant), headers={"Location": f"/api/v1/tenants/{tenant.id}"})


async def change_tenant(call: Call) -> Reply:
    given = call.body(TenantChange)
    if "plan" in given.model_fields_set:
        _plan_exists(call, given.plan)
    fields = {field: getattr(given, field) for field in given.model_fields_set}
    if call.tenant.source == "store":
        await _subscribe_anew(call, fields)
    if fields:
        await _change(call, fields)
    return Reply(await _view(call, call.tenant))


async def _subscribe_anew(call: Call, fields: dict[str, object]) -> None:
    """Plan and cycle are the subscription's, once there is one: a change is billed from now on."""
    target = Target(str(fields.get("plan", "")), str(fields.get("billing_cycle", "")))
    if not (target.plan or target.cycle):
        return
    try:
        await call.services.billing.change(call.tenant.id, target, call.user.id, "now")
    except NotFound:
        return
    fields.pop("plan", None)
    fields.pop("billing_cycle", None)
    call.tenant_or_none = await call.services.store.tenants.get(PLATFORM, call.tenant.id)


async def _change(call: Call, fields: dict[str, object]) -> None:
    tenant = call.tenant
    if tenant.source == "yaml":  # SEMANTICS §32: ownership is per field, and the YAML owns all of these
        names = ", ".join(sorted(fields))
        raise managed_by_config(f"{names} of tenant {tenant.id}", call.services.owner_file(("tenants", tenant.id)))
    changed = msgspec.structs.replace(tenant, **fields)
    sequence = await call.services.store.tenants.change(Scope(tenant.id), changed)
    if sequence is None:
        raise NOT_FOUND
    await call.audit("tenant.changed", tenant.id, {name: str(value) for name, value in fields.items()})
    await call.services.applied(sequence)
    call.tenant_or_none = changed


async def suspend(call: Call) -> Reply:
    return await _move(call, "suspended")


async def reopen(call: Call) -> Reply:
    return await _move(call, "active")


async def close(call: Call) -> Reply:
    return await _move(call, "closed")


async def _move(call: Call, status: TenantStatus) -> Reply:
    tenant = call.tenant
    if tenant.status == "closed" and status != "closed":
        raise ApiError("tenant_closed")
    if tenant.status != status:
        store = call.services.store
        sequence = await store.tenants.set_status(PLATFORM, tenant.id, status, call.now_us, call.user.id)
        if sequence is None:
            raise NOT_FOUND
        await call.services.applied(sequence)
    return Reply(await _view(call, msgspec.structs.replace(tenant, status=status)))


async def get_settings(call: Call) -> Reply:
    return Reply(await _settings(call))


async def change_settings(call: Call) -> Reply:
    given, tenant = call.body(SettingsChange), call.tenant
    if "timezone" in given.model_fields_set and given.timezone != tenant.timezone:
        await _change(call, {"timezone": given.timezone})
    now = await _settings(call)
    locale = given.locale if "locale" in given.model_fields_set else now.locale
    date_format = given.date_format if "date_format" in given.model_fields_set else now.date_format
    settings = TenantSettings(locale or "", date_format or "")
    await call.services.store.tenants.set_settings(call.scope, tenant.id, settings)
    await call.audit("tenant.settings_changed", tenant.id, {"locale": locale or "", "date_format": date_format or ""})
    return Reply(await _settings(call))


async def _settings(call: Call) -> Settings:
    found = await call.services.store.tenants.settings(call.scope, call.tenant.id)
    if found is None:
        raise NOT_FOUND
    return Settings.model_validate(
        {"locale": found.locale or None, "date_format": found.date_format or None, "timezone": call.tenant.timezone}
    )


async def _view(call: Call, tenant: Tenant) -> TenantView:
    created = await call.services.store.tenants.created(Scope(tenant.id), [tenant.id])
    return TenantView.of(tenant, created.get(tenant.id, 0))


def _plan_exists(call: Call, plan: str) -> None:
    if plan not in call.services.snapshot().plans:
        raise ApiError("invalid", errors=(FieldError("plan", f"there is no plan {plan}"),))


_READ, _WRITE = Allowed("platform", "read", "platform"), Allowed("platform", "write", "platform")
_NAMED = Allowed("platform", "write", "named")
_STATE = ("tenant_closed",)

OPERATIONS = (
    Operation("listTenants", "GET", "/tenants", "All tenants", _READ, list_tenants, "tenants", TenantList,
              query=TenantQuery),
    Operation("createTenant", "POST", "/tenants", "Make a tenant", _WRITE, create_tenant, "tenants", TenantView, 201,
              TenantMake),
    Operation("getTenant", "GET", "/tenants/{tenant}", "One tenant", Allowed("settings", "read", "named"), get_tenant,
              "tenants", TenantView),
    Operation("changeTenant", "PATCH", "/tenants/{tenant}", "Change a tenant", _NAMED, change_tenant, "tenants",
              TenantView, request=TenantChange, errors=("managed_by_config", "conflict")),
    Operation("suspendTenant", "POST", "/tenants/{tenant}/suspend", "Refuse a tenant's calls", _NAMED, suspend,
              "tenants", TenantView, errors=_STATE),
    Operation("reopenTenant", "POST", "/tenants/{tenant}/reopen", "Let a suspended tenant's calls pass again", _NAMED,
              reopen, "tenants", TenantView, errors=_STATE),
    Operation("closeTenant", "POST", "/tenants/{tenant}/close", "End a tenant for good; its history stays", _NAMED,
              close, "tenants", TenantView),
    Operation("getSettings", "GET", "/tenants/{tenant}/settings", "Locale, date format and time zone",
              Allowed("settings", "read", "named"), get_settings, "tenants", Settings),
    Operation("changeSettings", "PATCH", "/tenants/{tenant}/settings", "Change locale, date format or time zone",
              Allowed("settings", "write", "named"), change_settings, "tenants", Settings, request=SettingsChange,
              errors=("managed_by_config",)),
)  # fmt: skip
