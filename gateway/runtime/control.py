"""The control process: pages, API, health and metrics on the control listener; reads the store, never in a call's way.

``python -m gateway.runtime.control SPEC``; the supervisor starts it by exec.
"""

import asyncio
import logging
import os
import socket
from pathlib import Path

import uvloop
from aiohttp import web

from gateway.accounts.people import link_url
from gateway.accounts.secret_file import load_secret
from gateway.api.app import api_routes
from gateway.api.health import Readiness
from gateway.clock import SystemClock
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.redis_desk import RedisDesk
from gateway.errors import GatewayError, StoreUnavailable
from gateway.invoicing.following import BillingDesk
from gateway.runtime.account_desks import account_desks
from gateway.runtime.api_services import api_services, committed_and_applied, portal_guard
from gateway.runtime.child import ChildSpec, read_spec, refusing, say_ready, stop_event
from gateway.runtime.counting import open_desk
from gateway.runtime.host_status import SHUTDOWN, HostStatus
from gateway.runtime.jobs import run_all
from gateway.runtime.limit_use import limit_reader
from gateway.runtime.logs import configure
from gateway.runtime.operating import compare, read_letters, target_health
from gateway.runtime.owner_files import OwnerFiles
from gateway.runtime.periodic import every
from gateway.runtime.state_feed import StateFeed, StatePublisher
from gateway.runtime.state_keeper import StateKeeper
from gateway.runtime.state_wait import wait_applied
from gateway.runtime.try_call import Trier
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, bring_up, store_at
from gateway.ui.app import build_ui
from gateway.ui.bill import estimate_bill
from gateway.ui.keys import THROTTLE
from gateway.ui.services import UiServices

logger = logging.getLogger(__name__)

FEED_INTERVAL = 0.1
OWN_LOOKS = 40
"""How often this process looks whether it serves by a change itself before it goes on without."""
MAIL_INTERVAL = 1.0
STATE_INTERVAL = 0.2
RETRY_STORE = 1.0


class Control:
    """The control process's composition."""

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self._feed = StateFeed(spec.data)
        self._status = HostStatus(spec.data, self._feed)

    async def run(self) -> None:
        """Serve until told to stop."""
        stop = stop_event(self._spec)
        self._feed.load()
        snapshot = self._feed.snapshot
        store = store_at(snapshot.store_url, snapshot.folder)
        counters = open_desk(snapshot, hurried=True)
        app = self._application(store, counters)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN)
        await runner.setup()
        for descriptor in self._spec.listen:
            await web.SockSite(runner, socket.socket(fileno=os.dup(descriptor))).start()
        stopping = asyncio.create_task(stop.wait(), name="stop")
        tasks = [
            asyncio.create_task(every(FEED_INTERVAL, self._poll), name="state feed"),
            asyncio.create_task(every(MAIL_INTERVAL, self._smtp.run_once), name="mail"),
            asyncio.create_task(self._work(store), name="work over the store"),
        ]
        ended, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)
        await runner.cleanup()
        await self._registration.settle()
        await store.close()
        counters.close()
        for task in ended - {stopping}:
            task.result()  # a store that this gateway cannot work with

    async def _work(self, store: Store) -> None:
        """Open the store, however long that takes, and do what goes on over it; pages say meanwhile that it is away."""
        snapshot, waiting = self._feed.snapshot, False
        while True:
            try:
                await bring_up(store, snapshot.store_url, snapshot.folder)
                await self._invite_first_admin()
                break
            except StoreUnavailable as error:
                if not waiting:
                    logger.error("the store does not answer; pages and API wait for it", extra={"reason": str(error)})
                    say_ready(self._spec)
                waiting = True
                await asyncio.sleep(RETRY_STORE)
        if not waiting:
            say_ready(self._spec)
        async with asyncio.TaskGroup() as group:
            group.create_task(run_all(store, lambda: self._feed.snapshot, SystemClock(), self._spec.data))
            if self._spec.role == "control":  # no shipper keeps the state here
                group.create_task(self._keep_state(store))

    async def _keep_state(self, store: Store) -> None:
        keeper = StateKeeper(store, self._feed, StatePublisher(self._spec.data), SystemClock())

        async def turn() -> None:
            await store.changes.wait(PLATFORM, STATE_INTERVAL)
            await (keeper.turn() if keeper.started else keeper.start())

        await every(0, turn)

    def _application(self, store: Store, counters: MmapCounterStore | RedisDesk) -> web.Application:
        snapshot = self._feed.snapshot
        clock = SystemClock()
        accounts = snapshot.source.get("accounts")
        configured = str(accounts.get("secret") or "") if isinstance(accounts, dict) else ""
        owner_files = OwnerFiles(Path(self._spec.config_path), os.environ)
        secret = load_secret(self._spec.data, configured)
        limits = limit_reader(counters, lambda: self._feed.snapshot)
        applied = committed_and_applied(store, self._applied)
        desks = account_desks(store, clock, lambda: self._feed.snapshot, self._spec.data, applied, owner_files)
        self._smtp, self._accounts, self._registration = desks.smtp, desks.accounts, desks.registration
        app = build_ui(
            UiServices(
                store=store,
                snapshot=lambda: self._feed.snapshot,
                clock=clock,
                secret=secret,
                estimate=estimate_bill,
                accounts=desks.accounts,
                registration=desks.registration,
                team=desks.team,
                tokens=desks.tokens,
                keys=desks.keys,
                billing=BillingDesk(store, lambda: self._feed.snapshot, clock),
                managed_by=owner_files,
                applied=self._applied,
                letters=lambda: read_letters(self._spec.data / "mail"),
                compare=lambda: compare(self._feed.snapshot, store, self._spec.data, counters, clock),
                targets=lambda: target_health(self._status.workers()),
                limit_states=limits,
                try_call=Trier(lambda: self._feed.snapshot),
            )
        )
        app[THROTTLE] = desks.throttle
        app.middlewares.append(portal_guard(self._portal_address()))
        api = api_services(
            store, clock, lambda: self._feed.snapshot, desks, secret, limits, lambda: self._feed.state, applied,
            owner_files,
        )  # fmt: skip
        app.add_routes(api_routes(api))
        app.add_routes(self._status.routes(lambda: self._readiness(store)))
        return app

    def _portal_address(self) -> tuple[str, int] | None:
        """The address and port of the listener for tenants, if there is one: the supervisor hands it over second."""
        if len(self._spec.listen) < 2:
            return None
        with socket.socket(fileno=os.dup(self._spec.listen[1])) as listener:
            host, port, *_ = listener.getsockname()
            return str(host), int(port)

    async def _invite_first_admin(self) -> None:
        """Log a link for whoever started the gateway, as long as nobody administers it: the log is theirs alone."""
        token = await self._accounts.first_admin_token()
        if token is not None:
            link = link_url(self._feed.snapshot.server.public_url, token)
            logger.warning("nobody administers this gateway: this link, once within an hour", extra={"link": link})

    async def _applied(self, sequence: int) -> bool:
        """Wait until the local workers serve by a change, without holding up the loop, and this process too."""
        heard = bool(await asyncio.to_thread(wait_applied, self._spec.data, sequence))
        for _ in range(OWN_LOOKS):
            if self._feed.state.sequence >= sequence:
                break
            await asyncio.sleep(FEED_INTERVAL / 2)
            self._feed.poll()
        return heard

    async def _poll(self) -> None:
        self._feed.poll()

    async def _readiness(self, store: Store) -> list[Readiness]:
        checks = [] if self._spec.role == "control" else self._status.readiness()
        try:
            await store.ledger.posting_sequence(PLATFORM)
            checks.append(Readiness("store", True))
        except GatewayError as error:
            logger.warning("store does not answer", extra={"reason": str(error)})
            checks.append(Readiness("store", False, "the store does not answer; calls are served from the last state"))
        return checks


def main() -> None:
    """Process entry."""
    spec = read_spec()
    configure(spec.name, spec.log_level)

    async def serve() -> None:
        await Control(spec).run()

    with refusing(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
