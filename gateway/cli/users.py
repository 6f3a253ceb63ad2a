"""``gateway users``: make people and reset their access; both print a one-time link, alone on standard output."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, get_args

import typer

from gateway.accounts.people import RESET_TTL_US, Accounts, link_url, normal_email
from gateway.accounts.refused import AccountError
from gateway.cli.common import DEFAULT_CONFIG, EXIT_USAGE, ConfigOption, JsonOption, fail, print_json, say
from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.period import from_us
from gateway.storage.engine import Conflict
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, open_store
from gateway.storage.values import Role, User
from gateway.tenants.permissions import PLATFORM_ROLES, TENANT_ROLES

EmailArgument = Annotated[str, typer.Argument(help="The person's e-mail address.")]
RoleOption = Annotated[str, typer.Option(help="admin, finance or support; with --tenant owner, admin or member.")]
TenantOption = Annotated[str | None, typer.Option(help="The tenant whose person this is; without it, the platform's.")]

Work = Callable[[Snapshot, Store, Accounts], Awaitable[tuple[User, str]]]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="People who log in: make them, reset their access.")
    group.command("create")(create)
    group.command("reset")(reset)
    app.add_typer(group, name="users")


def create(
    email: EmailArgument,
    role: RoleOption,
    tenant: TenantOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Make a person and print a link that logs them in once, within a day."""
    allowed = TENANT_ROLES if tenant is not None else PLATFORM_ROLES
    if role not in allowed:
        fail(f"--role {role}: expected {', '.join(allowed[:-1])} or {allowed[-1]}", EXIT_USAGE)
    try:
        normal_email(email)
    except AccountError as error:
        fail(str(error), EXIT_USAGE)
    chosen: Role = next(known for known in get_args(Role) if known == role)

    async def work(snapshot: Snapshot, store: Store, accounts: Accounts) -> tuple[User, str]:
        if tenant is not None:
            await _require_tenant(snapshot, store, tenant)
        try:
            user = await accounts.create_user(email, chosen, tenant)
        except Conflict:
            raise AccountError(f"{email} exists already; `gateway users reset {email}` gives a new link") from None
        return user, await accounts.issue_link(user, "invite", RESET_TTL_US)

    _run(config, json, work)


def reset(email: EmailArgument, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Print a new one-time link for a person; every session of theirs ends and the old password stops working."""

    async def work(_: Snapshot, store: Store, accounts: Accounts) -> tuple[User, str]:
        user = await accounts.find(email)
        if user is None:
            raise AccountError(f"nobody has the address {email}; `gateway users create` makes people")
        await accounts.forget_password(user)
        return user, await accounts.issue_link(user, "reset", RESET_TTL_US)

    _run(config, json, work)


async def _require_tenant(snapshot: Snapshot, store: Store, tenant: str) -> None:
    """The tenant must be there; one that was just written into a file is brought into the store first."""
    if await store.tenants.get(PLATFORM, tenant) is None and tenant in snapshot.tenants:
        await store.tenants.sync_yaml(
            PLATFORM, list(snapshot.tenants.values()), list(snapshot.keys), SystemClock().now()
        )
    if await store.tenants.get(PLATFORM, tenant) is None:
        raise AccountError(f"there is no tenant {tenant}")


def _run(config_path: Path, as_json: bool, work: Work) -> None:
    snapshot = load(config_path, os.environ)
    snapshot.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def go() -> tuple[User, str]:
        store = await open_store(snapshot.store_url, snapshot.folder)
        try:
            return await work(snapshot, store, Accounts(store.people, store.audit, SystemClock()))
        finally:
            await store.close()

    try:
        user, token = asyncio.run(go())
    except AccountError as error:
        fail(str(error))
    url = link_url(snapshot.server.public_url, token)
    expires = from_us(SystemClock().now() + RESET_TTL_US)
    if as_json:
        print_json({"id": user.id, "email": user.email, "role": user.role, "tenant": user.tenant, "link": url})
        return
    say(f"{user.email} ({user.role}{f' of {user.tenant}' if user.tenant else ''}): this link works once, until")
    say(f"{expires:%Y-%m-%d %H:%M} UTC. It logs in and asks for a password.")
    print(url, flush=True)
