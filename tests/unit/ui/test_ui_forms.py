"""Every form of every page, sent by somebody else: without its token, with a foreign or an ended one, from elsewhere.

Refused with 403, and nothing moves in the store: the store is compared as text, before and after.
"""

import re
import sqlite3
from html.parser import HTMLParser

import pytest
from support.ui_world import PASSWORD, open_world

from gateway.storage.ports import PLATFORM, Scope
from gateway.tenants.model import Tenant
from gateway.ui.app import ROUTES
from gateway.ui.guard import NONCE_COOKIE

HERE = "ten_hooli"
TYPED = {"email": "eve@example.com", "password": PASSWORD, "again": PASSWORD, "amount": "1", "path": "/weather"}
ACTIONS = {path for method, path, *_ in ROUTES if method == "POST"}
PAGES = [path for method, path, *_ in ROUTES if method == "GET" and not path.endswith("/live")]
ENTRANCE = ["/login", "/register", "/forgot", *(f"/{page}?token=t" for page in ("verify", "reset", "invite"))]
ELSEWHERE = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)


class Forms(HTMLParser):
    """The forms of a page that act, with what a person could send by them: [(address, {field: value})]."""

    def __init__(self, text):
        super().__init__()
        self.found, self.inside, self.select = [], False, ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        name, value = given.get("name"), given.get("value", "")
        if tag == "form":
            self.inside = given.get("method") == "post"
            if self.inside:
                self.found.append((given["action"], {}))
        elif tag == "select":
            self.select = name or ""
        elif tag == "option" and self.inside and self.select:
            self.found[-1][1].setdefault(self.select, value)
        elif self.inside and name and tag in ("input", "textarea", "button"):
            self.found[-1][1].setdefault(name, value or TYPED.get(name, "x"))

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "form"


def pattern(path, known):
    """Which of the known addresses it is, or None."""
    plain = path.partition("?")[0]
    for one in known:
        if re.fullmatch(
            re.sub(r"\{\w+:([^{}]*(?:\{[^}]*\})?)\}|\{\w+\}", lambda m: f"(?:{m[1] or '[^/]+'})", one), plain
        ):
            return one
    return None


async def forms_of(world, starts):
    """Crawl from these pages, each kind once (with each kind of query), and return {(address, its fields): values}."""
    waiting, seen, found = list(starts), set(), {}
    while waiting:
        path = waiting.pop(0).replace("&amp;", "&")
        kind = (pattern(path, PAGES), re.sub(r"=[^&]*", "", path.partition("?")[2]))
        if kind in seen or kind[0] is None or "{form" in kind[0] or path.startswith("/login/link"):
            continue
        seen.add(kind)
        answer = await world.client.get(path)
        assert answer.status == 200, path
        text = await answer.text()
        waiting += re.findall(r'href="(/[^"#]*)', text)
        for action, fields in Forms(text).found:
            found.setdefault((action, frozenset(fields)), fields)
    return found


def told(world, folder):
    """Everything that the store holds, and what else a form may move."""
    with sqlite3.connect(f"file:{folder}/ui.db?mode=ro", uri=True) as base:
        return list(base.iterdump()), len(world.mail.sent), len(world.tried)


async def refused(world, path, fields, **headers):
    answer = await world.client.post(path, data=fields, headers=headers, allow_redirects=False)
    assert answer.status == 403, (path, headers, answer.status)
    assert not set(answer.cookies) - {NONCE_COOKIE}, path


async def attack(world, folder, forms, foreign_tokens):
    before = told(world, folder)
    for (path, _), fields in forms.items():
        bare = {name: value for name, value in fields.items() if name != "csrf"}
        assert re.fullmatch("[0-9a-f]{64}", fields["csrf"]), path
        for token in ("", "é" * 64, fields["csrf"][:-1], *foreign_tokens):
            await refused(world, path, bare | {"csrf": token})
        await refused(world, path, bare)
        await refused(world, f"{path}?csrf={fields['csrf']}", bare)  # a token in an address is none
        for headers in ELSEWHERE:
            await refused(world, path, fields, **headers)
    await world.services.registration.settle()
    assert told(world, folder) == before
    return {pattern(path, ACTIONS) for path, _ in forms}


async def leave(world):
    """End the session; returns its token."""
    token = await world.csrf("/account")
    assert (await world.client.post("/logout", data={"csrf": token}, allow_redirects=False)).status == 303
    return token


async def own_forms_work(world, forms):
    """The same forms with the token of their page are not refused: what refuses above is nothing else."""
    last = ("/logout", "/account/password", "/account/access/end")  # these end sessions
    for (path, _), fields in sorted(forms.items(), key=lambda one: one[0][0].startswith(last)):
        answer = await world.client.post(path, data=fields, allow_redirects=False)
        if not path.startswith(last):
            assert answer.status not in ((403,) if path == "/login" else (401, 403)), (path, await answer.text())


@pytest.fixture
async def world(tmp_path):
    """Registration is open; a tenant of the store with a key, a bill, a payment announced, people and invitations."""
    accounts = {"registration": "open", "default_plan": "free"}
    async with open_world(tmp_path, accounts=accounts) as opened:
        await opened.store.tenants.create(PLATFORM, Tenant(HERE, "Hooli", "free", source="store"), opened.clock.now())
        await opened.services.billing.run()
        yield opened


async def furnish(world):
    """Through the pages, as its owner would."""

    async def send(path, page, **fields):
        answer = await world.client.post(path, data={"csrf": await world.csrf(page)} | fields, allow_redirects=False)
        assert answer.status in (200, 303), (path, answer.status, await answer.text())

    await world.person("second@example.com", "member", HERE)
    await world.enter("owner", HERE)
    await send("/portal/keys", "/portal/keys", name="first")
    await send("/portal/plan/change", "/portal/plan", plan="pro", cycle="month", when="now")
    await send("/portal/team/invite", "/portal/team", email="third@example.com", role="member")
    await send("/account/access/create", "/account/access", name="job", scope="read", expires="2027-01-31")
    (invoice, *_) = await world.services.billing.invoices(Scope(HERE))
    await send(f"/portal/invoices/{invoice.id}/pay", f"/portal/invoices/{invoice.id}", amount="0.01", reference="wire")


async def test_a_form_that_is_not_our_own_is_refused_and_moves_nothing(world, tmp_path):
    tokens = [await world.csrf()]  # of another browser without a session
    world.client.session.cookie_jar.clear()
    forms = await forms_of(world, ENTRANCE)
    reached = await attack(world, tmp_path, forms, tokens)
    await own_forms_work(world, forms)

    await furnish(world)
    tokens.append(await leave(world))
    await world.person("boss@example.com", "admin")
    await world.log_in("boss@example.com")
    await world.csrf("/admin")
    tokens.append(await leave(world))
    for email, starts in (
        (f"owner-{HERE}@example.com", ["/portal", "/account", "/account/access", "/portal/plan?plan=free&cycle=month"]),
        ("boss@example.com", ["/admin", f"/admin/tenants/{HERE}", "/admin/invoices", "/account", "/account/access"]),
    ):
        await world.log_in(email)
        tokens.append(await leave(world))  # the same person's, of a session that ended
        await world.log_in(email)
        await world.log_in(email)  # another session beside it
        forms = await forms_of(world, starts)
        reached |= await attack(world, tmp_path, forms, tokens)
        await own_forms_work(world, forms)
        world.client.session.cookie_jar.clear()
    assert reached == ACTIONS
