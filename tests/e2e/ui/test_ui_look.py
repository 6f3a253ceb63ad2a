"""Every page that a link leads to, in a real browser: light, dark, phone, desktop; empty, full. Nothing sticks out, all
is legible, named and in order."""

import os
import re
from urllib.parse import urlsplit

import pytest
from support.ui_world import PASSWORD, World

from gateway.ui.app import ROUTES

pytestmark = [pytest.mark.slow, pytest.mark.service]

LONG_ID = "gesellschaft-fuer-interoperable-datenverarbeitung-mbh-und-co"
FULL = bool(os.environ.get("PROVE"))
LOOKS = [(390, "dark", "full"), (1440, "light", "empty")]  # each about 13 s of work; the others with PROVE=1
ALL_LOOKS = [(w, s, n) for w in (390, 1440) for s in ("light", "dark") for n in ("empty", "one", "full", "many")]
ENTRANCE = ("/login", "/register", "/forgot", "/reset", "/invite", "/verify", "/nothing-here")
NO_PAGES = re.compile(r"/live$|\{form|^/(login|register|forgot|reset|invite|verify|$)")
PAGES = {path for method, path, *_ in ROUTES if method == "GET" and not NO_PAGES.search(path)}
KINDS = {"lines": "{line:[0-9]{1,6}}", "tenants": "{id}", "keys": "{key}", "invoices": "{invoice}", "plans": "{plan}"}

# WCAG 2.1 §1.4.3 of every text that is drawn: its colour over the first opaque background behind it.
LOW_CONTRAST = """() => {
  const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const rgba = (text) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = text; pen.fillRect(0, 0, 1, 1);
    const d = pen.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = c.map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (node) => { const layers = [];
    for (let n = node; n && layers.at(-1)?.[3] !== 1; n = n.parentElement)
      layers.push(rgba(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((below, c) => over(c, below), [255, 255, 255, 1]); };
  const bad = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.nodeValue.trim(), node = walker.currentNode.parentElement;
    if (!text || node.closest('svg, [hidden]') || !node.checkVisibility()) continue;
    const below = ground(node), above = over(rgba(getComputedStyle(node).color), below);
    const [high, low] = [light(above), light(below)].sort((a, b) => b - a);
    const ratio = (high + .05) / (low + .05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return bad;
}"""
NAMELESS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), svg[role=img]')]
  .filter(n => !n.hidden &&
  !(n.textContent.trim() || n.getAttribute('aria-label') || n.getAttribute('aria-labelledby') || n.labels?.length))
  .map(n => n.outerHTML.slice(0, 80))"""


# What a reader of screens needs: one h1, no level skipped, one main, names of regions, labels of fields,
# no id twice, table heads with a scope, a language.
OUT_OF_ORDER = """() => {
  const bad = [], all = (query) => [...document.querySelectorAll(query)];
  const levels = all('h1, h2, h3, h4').filter(n => n.checkVisibility()).map(n => +n.tagName[1]);
  if (levels.filter(n => n === 1).length !== 1) bad.push('not one h1');
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) bad.push(`h${level} after h${levels[i - 1]}`); });
  if (all('main').length !== 1) bad.push('not one main');
  if (!document.documentElement.lang) bad.push('no language');
  const named = (n) => n.getAttribute('aria-label') || n.getAttribute('aria-labelledby');
  for (const n of all('nav, [role=region]')) if (!named(n)) bad.push(`no name: ${n.outerHTML.slice(0, 60)}`);
  for (const n of all('[aria-labelledby]')) for (const id of n.getAttribute('aria-labelledby').split(' '))
    if (!document.getElementById(id)) bad.push(`no such label: ${id}`);
  for (const n of all('input:not([type=hidden], [hidden]), select, textarea'))
    if (!n.labels?.length && !named(n)) bad.push(`no label: ${n.outerHTML.slice(0, 80)}`);
  const ids = all('[id]').map(n => n.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) bad.push(`twice: #${id}`);
  for (const n of all('th:not([scope])')) bad.push(`no scope: ${n.outerHTML.slice(0, 60)}`);
  for (const n of all('.scroll')) if (n.scrollWidth > n.clientWidth + 1 && n.tabIndex < 0) bad.push('no keys');
  return bad;
}"""


async def look(page, url: str, faults: list[str], status: int = 200) -> list[str]:
    """Open a page, collect what is wrong with it, and return where its links lead."""
    answer = await page.goto(url)
    name = f"{urlsplit(url).path} {page.viewport_size['width']}"
    if answer.status != status:
        faults.append(f"{name}: status {answer.status}")
    if len(await answer.body()) >= 100_000:
        faults.append(f"{name}: {len(await answer.body())} bytes")
    await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if over > 0:
        faults.append(f"{name}: {over} px too wide")
    faults += [f"{name}: contrast {text}" for text in await page.evaluate(LOW_CONTRAST)]
    faults += [f"{name}: without a name {text}" for text in await page.evaluate(NAMELESS)]
    faults += [f"{name}: {text}" for text in await page.evaluate(OUT_OF_ORDER)]
    return list(await page.evaluate("[...document.links].map(link => link.pathname + link.search)"))


def kind(path: str) -> str:
    """Which page of the application it is: its address without the ids."""
    parts = path.partition("?")[0].split("/")
    return "/".join(KINDS.get(parts[place - 1], part) if place > 1 else part for place, part in enumerate(parts))


async def crawl(page, world: World, starts: list[str], faults: list[str]) -> set[str]:
    """Follow links, each kind of page once; returns the kinds."""
    waiting, seen = list(starts), set[str]()
    while waiting:
        path = waiting.pop(0)
        if kind(path) in seen or kind(path) not in PAGES:
            continue
        seen.add(kind(path))
        waiting += await look(page, world.url + path, faults)
    return seen


async def fresh_page(browser, width: int, scheme: str, faults: list[str]):
    """A browser of its own. What a page answers on purpose (404) is no fault of it."""
    context = await browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = await context.new_page()
    expected = ("status of 404", "[DOM] Password forms should have")  # who resets a password is not known yet
    page.on(
        "console", lambda m: None if any(one in m.text for one in expected) else faults.append(f"console: {m.text}")
    )
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    return page


async def look_at_all(browser, world: World, width: int, scheme: str) -> tuple[list[str], set[str]]:
    """The entrance, and every page of an operator and of a tenant's owner."""
    faults: list[str] = []
    seen: set[str] = set()
    page = await fresh_page(browser, width, scheme, faults)
    for path in ENTRANCE:
        await look(page, world.url + path, faults, 404 if path in ("/register", "/nothing-here") else 200)
    await page.context.close()
    owner = f"{'o' * 48}@example.com"
    starts = ["/admin", f"/admin/tenants/{LONG_ID}", f"/admin/tenants/{LONG_ID}/invoices"]
    for email, role, tenant, paths in (
        ("ada@example.com", "admin", None, starts),
        (owner, "owner", LONG_ID, ["/portal"]),
    ):
        await world.person(email, role, tenant)
        page = await fresh_page(browser, width, scheme, faults)
        await page.goto(f"{world.url}/login")
        await page.fill("[name=email]", email)
        await page.fill("[name=password]", PASSWORD)
        await page.click("button.primary")
        await page.wait_for_selector("#live")
        seen |= await crawl(page, world, paths, faults)
        await page.context.close()
    return faults, seen


async def furnish(world: World, amount: str, fill) -> None:
    """Nothing; one of each; much; ten thousand calls."""
    if amount == "empty":
        return
    await world.services.billing.run(at_us=world.clock.now() + 40 * 86_400_000_000)
    if amount == "one":
        await world.post_calls(LONG_ID, [1_000_000])
    if amount == "many":
        await world.post_calls(LONG_ID, [n * 60_000_000 for n in range(10_000)], path="/" + "p" * 300)
    if amount in ("full", "many"):
        await fill(world)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("width", "scheme", "amount"), ALL_LOOKS if FULL else LOOKS)
async def test_every_page(browser, world, fill_world, width, scheme, amount):
    await furnish(world, amount, fill_world)
    faults, seen = await look_at_all(browser, world, width, scheme)
    assert faults == []
    # Without calls there is no invoice of them, and an invoice of fees alone has no calls behind its lines.
    perhaps = {path for path in PAGES if "{line" in path or (amount == "empty" and "{invoice}" in path)}
    assert PAGES - seen - perhaps == set()
    print(f"proof: {len(seen)} pages at {width} px, {scheme}, {amount}: no overflow, contrast at least 4.5, all named")
