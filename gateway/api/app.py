"""The API on the control plane's application: ``/api/v1``, its OpenAPI document, and ``/docs``."""

import json
from collections.abc import Sequence

from aiohttp import hdrs, web

import gateway
from gateway.api.dispatch import PREFIX, Dispatcher
from gateway.api.docs_page import docs_page
from gateway.api.openapi import openapi
from gateway.api.operation import Operation
from gateway.api.services import ApiServices
from gateway.api.table import OPERATIONS


def api_routes(services: ApiServices, operations: Sequence[Operation] = OPERATIONS) -> list[web.RouteDef]:
    """The routes; every address below ``/api`` is answered here, with problem+json where there is nothing."""
    dispatcher = Dispatcher(services, operations)

    async def document(_: web.Request) -> web.Response:
        text = json.dumps(openapi(operations, gateway.__version__, services.snapshot().server.public_url))
        return web.Response(text=text, content_type="application/json")

    async def docs(_: web.Request) -> web.Response:
        text = docs_page(openapi(operations, gateway.__version__, services.snapshot().server.public_url))
        return web.Response(text=text, content_type="text/html")

    return [
        web.get(f"{PREFIX}/openapi.json", document),
        web.get("/docs", docs),
        web.route(hdrs.METH_ANY, r"/api{rest:(?:/[\s\S]*)?}", dispatcher.handle),
    ]
