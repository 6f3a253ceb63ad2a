"""Pages that move by themselves, and pages without scripts."""

import pytest
from support.ui_world import PASSWORD

from gateway.accounts.people import link_url
from gateway.clock import HOUR_US
from gateway.ui.keys import LIVE

pytestmark = [pytest.mark.slow, pytest.mark.service]


async def open_portal(browser, world, **options):
    user = await world.person("owner@example.com", "owner", "acme")
    page = await (await browser.new_context(**options)).new_page()
    await page.goto(link_url(world.url, await world.accounts.issue_link(user, "login", HOUR_US)))
    return page


async def test_a_call_moves_the_page_without_a_reload(browser, world):
    page = await open_portal(browser, world)
    await page.wait_for_selector(".live[data-state=on]")
    await page.evaluate("window.same = true")
    await world.post_calls("acme", [1000], path="/made-in-a-terminal")
    await page.wait_for_selector("text=/made-in-a-terminal/", timeout=5000)
    assert await page.evaluate("window.same") is True
    await page.wait_for_selector(".tile:first-child .figure:text-is('1')", timeout=5000)


async def test_open_tables_and_focus_survive_a_move(browser, world):
    await world.post_calls("acme", [HOUR_US])
    page = await open_portal(browser, world)
    await page.wait_for_selector(".live[data-state=on]")
    await page.click("details.data summary")
    await world.post_calls("acme", [1000], path="/another")
    await page.wait_for_selector("text=/another/", timeout=5000)
    assert await page.locator("details.data").get_attribute("open") is not None
    assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"


async def test_leaving_the_page_ends_its_stream(browser, world):
    page = await open_portal(browser, world)
    await page.wait_for_selector(".live[data-state=on]")
    hub = world.client.app[LIVE]
    assert hub.listeners == 1
    await page.goto(f"{world.url}/account")
    for _ in range(50):
        if hub.listeners == 0:
            break
        await page.wait_for_timeout(50)
        await world.post_calls("acme", [1])  # a stream whose reader is gone is noticed at the next event
    assert hub.listeners == 0


async def test_everything_works_without_scripts(browser, world):
    await world.post_calls("acme", [1000])
    page = await open_portal(browser, world, java_script_enabled=False)
    assert page.url == f"{world.url}/portal"
    await page.click("details.data summary")
    assert await page.locator("details.data td").first.is_visible()
    await page.click("details.me summary")
    await page.click("button[value=dark]")
    assert await page.locator("html").get_attribute("data-theme") == "dark"
    await page.click("details.me summary")
    await page.click("text=Account and password")
    await page.fill("[name=current]", PASSWORD)
    await page.fill("[name=password]", "another long password")
    await page.fill("[name=again]", "another long password")
    await page.click("text=Save the password")
    assert await page.locator("[role=status]").is_visible()
    await page.click("details.me summary")
    await page.click("text=Log out")
    assert page.url == f"{world.url}/login"


async def test_the_theme_changes_at_once_and_is_kept(browser, world):
    page = await open_portal(browser, world)
    await page.click("details.me summary")
    async with page.expect_response("**/theme"):
        await page.click("button[value=dark]")
    assert await page.locator("html").get_attribute("data-theme") == "dark"
    await page.reload()
    assert await page.locator("html").get_attribute("data-theme") == "dark"
