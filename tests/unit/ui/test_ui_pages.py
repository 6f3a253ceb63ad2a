"""The pages as people see them: what they show, to whom, and how small they are."""

import pytest


async def test_root_redirects_by_session(world):
    async def target():
        return (await world.client.get("/", allow_redirects=False)).headers["Location"]

    assert await target() == "/login"
    await world.enter("admin")
    assert await target() == "/admin"


@pytest.mark.parametrize("path", ["/admin", "/admin/tenants", "/admin/tenants/acme", "/admin/calls", "/admin/routes"])
@pytest.mark.parametrize("calls", [0, 1, 400])
async def test_admin_pages_render_empty_one_and_many(world, path, calls):
    await world.post_calls("acme", [n * 3_600_000_000 for n in range(calls)])
    await world.enter("support")
    response = await world.client.get(path)
    body = await response.read()
    assert response.status == 200
    assert len(body) < 100_000
    assert b"style=" not in body
    assert b"<script>" not in body
