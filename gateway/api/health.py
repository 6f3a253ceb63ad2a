"""``/healthz``: this process answers. ``/readyz``: the data plane serves and the ledger keeps up, or why not."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Readiness:
    """One check of readiness: ``name`` is stable, ``detail`` says what is wrong and is empty when all is well."""

    name: str
    ok: bool
    detail: str = ""


ReadinessProbe = Callable[[], Awaitable[list[Readiness]]]


def health_routes(probe: ReadinessProbe) -> list[web.RouteDef]:
    """The two routes; they need no session and show no configuration."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        checks = await probe()
        ready = all(check.ok for check in checks)
        body = {
            "status": "ready" if ready else "not ready",
            "checks": {c.name: "ok" if c.ok else c.detail for c in checks},
        }
        return web.json_response(body, status=200 if ready else 503)

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]
