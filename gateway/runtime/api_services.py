"""Composes the API, and keeps the tenants' listener to what is theirs."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.accounts.api_sessions import ApiSessions
from gateway.accounts.key_book import Applied, OwnerFile
from gateway.api.dispatch import PORTAL
from gateway.api.services import ApiServices, LimitReader
from gateway.clock import Clock
from gateway.config.snapshot import Snapshot
from gateway.invoicing.following import BillingDesk
from gateway.runtime.account_desks import AccountDesks
from gateway.storage.store import Store
from gateway.tenants.model import Principal
from gateway.ui.keys import OF_TENANTS

OF_THE_PLATFORM = ("/admin", "/metrics", "/readyz")


class Directory(Protocol):
    """Finds whose key a digest is of, as the workers do."""

    def find(self, digest: bytes) -> Principal | None: ...


def api_services(
    store: Store,
    clock: Clock,
    snapshot: Callable[[], Snapshot],
    desks: AccountDesks,
    secret: bytes,
    limits: LimitReader,
    state: Callable[[], Directory],
    applied: Applied,
    owner_file: OwnerFile,
) -> ApiServices:
    """All that the API needs. ``state`` is asked each time: a full rebuild replaces it."""
    return ApiServices(
        store=store,
        snapshot=snapshot,
        clock=clock,
        secret=secret,
        accounts=desks.accounts,
        sessions=ApiSessions(store, clock, secret),
        tokens=desks.tokens,
        keys=desks.keys,
        team=desks.team,
        registration=desks.registration,
        throttle=desks.throttle,
        billing=BillingDesk(store, snapshot, clock),
        limits=limits,
        find_key=lambda digest: state().find(digest),
        applied=applied,
        owner_file=owner_file,
    )


def committed_and_applied(store: Store, applied: Applied) -> Applied:
    """Workers hear of a change once it is committed: within a unit of work the wait is put off until then."""

    async def wait(sequence: int) -> bool:
        heard = [True]

        async def after() -> None:
            heard[0] = await applied(sequence)

        await store.once_committed(after)
        return heard[0]

    return wait


def portal_guard(portal: tuple[str, int] | None) -> Middleware:
    """On the listener with this address and port, addresses of the platform do not exist, and API and pages know it."""
    everywhere = portal is not None and ip_address(portal[0].partition("%")[0]).is_unspecified

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.transport.get_extra_info("sockname") if request.transport else None
        if portal is not None and name and name[1] == portal[1] and (everywhere or name[0] == portal[0]):
            if any(request.path == path or request.path.startswith(f"{path}/") for path in OF_THE_PLATFORM):
                raise web.HTTPNotFound
            request[PORTAL] = request[OF_TENANTS] = True
        return await handler(request)

    return guard
