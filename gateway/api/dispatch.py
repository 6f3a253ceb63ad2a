"""The way of a request through the API: route, address, permission, input, repeat, handler, answer."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence

from aiohttp import web

from gateway.accounts.refused import AccountError
from gateway.api.authentication import admit
from gateway.api.kept import HEADER as IDEMPOTENCY_KEY
from gateway.api.kept import Finished, Keeper
from gateway.api.operation import Anyone, Call, Operation, Reply, SelfKey
from gateway.api.problems import CODES, NOT_FOUND, ApiError, FieldError
from gateway.api.reading import parse_body, parse_query, read_body
from gateway.api.routing import Routes
from gateway.api.services import ApiServices
from gateway.billing.invoice import InvoiceTransitionError
from gateway.billing.payment import PaymentTransitionError
from gateway.billing.subscription import TransitionError
from gateway.errors import GatewayError, StoreUnavailable
from gateway.http.networks import client_address
from gateway.invoicing.changing import ManagedByConfig
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.payments.ports import ProviderError
from gateway.storage.billing_rows import Moved
from gateway.storage.engine import Conflict, Contended
from gateway.storage.values import BadCursor

PREFIX = "/api/v1"
ATTEMPTS = 5
BILLING_ERRORS = (InvoiceError, InvoiceTransitionError, PaymentTransitionError, ProviderError, TransitionError)
"""What the desk of billing refuses: what was asked cannot be in the present state."""
PORTAL = web.RequestKey("portal_listener", bool)
"""Set on requests that came in by ``server.portal``."""
logger = logging.getLogger(__name__)


class Dispatcher:
    """All operations behind one address."""

    def __init__(self, services: ApiServices, operations: Sequence[Operation]) -> None:
        self._services = services
        self._routes = Routes(operations)
        self._admission = services.admission
        self._keeper = Keeper(services.secret)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        try:
            return _sent(request, await self._answer(request))
        except ApiError as error:
            return problem(error)
        except AccountError as error:
            return problem(_from_account(error))
        except BILLING_ERRORS as error:
            return problem(_from_billing(error))
        except BadCursor as error:
            return problem(ApiError("invalid", errors=(FieldError("after", str(error)),)))
        except Moved:
            return problem(ApiError("conflict", "Something else changed it in this very moment: try again."))
        except Conflict as error:
            logger.info("refused by the store", extra={"reason": str(error)})
            return problem(ApiError("already_exists"))
        except StoreUnavailable as error:
            logger.warning("the API met an unavailable store", extra={"path": request.path, "error": str(error)})
            return problem(ApiError("unavailable", headers={"Retry-After": "2"}))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            logger.exception("an operation failed", extra={"path": request.path})
            return problem(ApiError("internal"))

    async def _answer(self, request: web.Request) -> Finished:
        services = self._services
        forwarded = request.headers.getall("X-Forwarded-For", [])
        address = client_address(services.snapshot().server.trusted_proxies, request.remote or "", forwarded)
        operation, params = self._routes.find(request.method, request.rel_url.raw_path.removeprefix(PREFIX))
        call = Call(services, request, address, params)
        await self._admit(operation, call)
        if operation.request is not None or operation.raw_body:
            call.raw = await read_body(request, operation.max_body, operation.media_types)
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is None or not operation.keeps_answers:
            return await self._in_one(operation, call) if operation.changes else await self._perform(operation, call)
        await self._keeper.tidy(call)
        with self._keeper.alone(call, key):
            return await self._in_one(operation, call, key)

    async def _in_one(self, operation: Operation, call: Call, key: str | None = None) -> Finished:
        """In one transaction: what is done, who did it, and the answer to repeats."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with call.services.store.unit():
                    return await (self._perform(operation, call) if key is None else self._once(operation, call, key))
            except Contended:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    async def _admit(self, operation: Operation, call: Call) -> None:
        """Rate and permission. Failed credentials and open operations count for the address, others for the person."""
        now, by_address = call.now_us, f"address {call.address}"
        self._admission.check(by_address, now)
        try:
            await admit(operation, call, portal=call.request.get(PORTAL, False))
        except ApiError as error:
            if error.code == "unauthenticated":
                self._admission.take(by_address, now)
            raise
        if isinstance(operation.permission, Anyone):
            self._admission.take(by_address, now)
        elif isinstance(operation.permission, SelfKey) and call.principal is not None:
            self._admission.take(f"key {call.principal.tenant.id} {call.principal.key.id}", now)
        else:
            self._admission.take(f"user {call.user.id}", now)

    async def _once(self, operation: Operation, call: Call, key: str) -> Finished:
        """The answer of the first such request; else perform, and keep the answer for repeats, refusals too."""
        found = await self._keeper.find(operation, call, key)
        if found is not None:
            return found
        try:
            async with call.services.store.unit():  # a refusal undoes what was begun, and is kept
                answer = await self._perform(operation, call)
        except (ApiError, AccountError, *BILLING_ERRORS) as error:
            refusal = _refusal(error)
            answer = Finished(refusal.status, {**refusal.headers, **PROBLEM}, _json(refusal.document()))
        await self._keeper.keep(operation, call, key, answer)
        return answer

    async def _perform(self, operation: Operation, call: Call) -> Finished:
        if operation.query is not None:
            call.query_model = parse_query(call.request, operation.query)
        if operation.request is not None:
            call.body_model = parse_body(call.raw, operation.request)
        if operation.method in ("PATCH", "PUT", "DELETE") and "If-Match" in call.request.headers:
            await self._precondition(operation, call)
        reply = await operation.handler(call)
        return _finish(operation, call, reply)

    async def _precondition(self, operation: Operation, call: Call) -> None:
        """RFC 9110 §13.1.1: the resource is still the one that the caller has seen."""
        reading = self._routes.reading(operation.path)
        if reading is None:
            return
        seen = Call(call.services, call.request, call.address, call.params, call.actor, None, call.tenant_or_none)
        tag = _finish(reading, seen, await reading.handler(seen), conditional=False).headers.get("ETag", "")
        given = [part.strip() for part in call.request.headers["If-Match"].split(",")]
        if "*" not in given and tag not in given:
            raise ApiError("precondition_failed")


PROBLEM = {"Content-Type": "application/problem+json"}


def problem(error: ApiError) -> web.Response:
    """A refusal on the wire."""
    headers = {**error.headers, **PROBLEM, "Cache-Control": "no-store"}
    return web.Response(status=error.status, body=_json(error.document()), headers=headers)


def _refusal(error: GatewayError) -> ApiError:
    if isinstance(error, AccountError):
        return _from_account(error)
    return error if isinstance(error, ApiError) else _from_billing(error)


def _from_billing(error: GatewayError) -> ApiError:
    if isinstance(error, NotFound):
        return NOT_FOUND
    return ApiError("managed_by_config" if isinstance(error, ManagedByConfig) else "conflict", str(error))


def _from_account(error: AccountError) -> ApiError:
    code = error.code if error.code in CODES else "invalid"
    if code == "not_found":
        return NOT_FOUND
    field = getattr(error, "field", "")
    return ApiError(code, str(error), (FieldError(field, str(error)),) if code == "invalid" else ())


def _finish(operation: Operation, call: Call, reply: Reply, *, conditional: bool = True) -> Finished:
    """The answer's bytes. One resource has an ETag; a reader that has it gets 304 (RFC 9110 §13.1.2)."""
    status = reply.status or operation.status
    if reply.raw is None and reply.body is None:
        return Finished(status, dict(reply.headers), b"")
    body = reply.body.model_dump_json(by_alias=True).encode() if reply.body is not None else reply.raw or b""
    headers = {"Content-Type": "application/json", **reply.headers}
    if operation.method == "GET":
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers["ETag"] = tag
        known = [part.strip().removeprefix("W/") for part in call.request.headers.get("If-None-Match", "").split(",")]
        if conditional and (tag in known or "*" in known):
            return Finished(304, {"ETag": tag}, b"")
    return Finished(status, headers, body)


def _sent(request: web.Request, answer: Finished) -> web.Response:
    headers = {"Cache-Control": "private, no-cache" if request.method in ("GET", "HEAD") else "no-store"}
    body = b"" if answer.status in (204, 304) else answer.body
    return web.Response(status=answer.status, body=body or None, headers=headers | answer.headers)


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
