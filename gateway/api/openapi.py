"""The OpenAPI 3.1 document, made from the table of operations."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.api.authentication import TENANT_HEADER
from gateway.api.kept import HEADER, MAX_KEY
from gateway.api.operation import Allowed, Anyone, LoggedIn, Operation, SelfKey
from gateway.api.problems import CODES
from gateway.api.resources.events import BATCH, MAX_EVENTS, SINGLE

REF = "#/components/schemas/{model}"
PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
TAGS = {
    "auth": "Coming and going",
    "people": "Teams, invitations, personal tokens",
    "tenants": "Organisations",
    "keys": "Keys of machines",
    "usage": "Figures, limits and refusals",
    "calls": "Single calls",
    "events": "Usage reported from outside",
    "platform": "Plans, audit, the whole",
    "billing": "Subscriptions, invoices and payments",
    "self": "For machines, with a tenant's key",
}


def openapi(operations: Sequence[Operation], version: str, server: str) -> dict[str, Any]:
    """The document. ``server`` is the public address."""
    schemas = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gateway API",
            "version": version,
            "description": "Errors are problem+json with a stable `code`. Lists go on with `?after=` the `next` of the "
            "page before. A POST with an Idempotency-Key is done once. GET answers have an ETag.",
        },
        "servers": [{"url": f"{server}/api/v1"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if _used(name, operations)],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _security_schemes()},
    }


def _used(tag: str, operations: Iterable[Operation]) -> bool:
    return any(operation.tag == tag for operation in operations)


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    wanted: dict[tuple[type[BaseModel], Any], None] = {}
    for operation in operations:
        if operation.request is not None:
            wanted[operation.request, "validation"] = None
        if operation.response is not None:
            wanted[operation.response, "serialization"] = None
        if operation.query is not None:
            wanted[operation.query, "validation"] = None
    _, document = models_json_schema(list(wanted), ref_template=REF)
    schemas: dict[str, Any] = document.get("$defs", {})
    schemas["Problem"] = _problem_schema()
    schemas["CloudEvent"] = _event_schema()
    return schemas


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    error = {"type": "object", "properties": {"field": text, "message": text}, "required": ["field", "message"]}
    return {
        "type": "object",
        "description": "A refusal (RFC 9457).",
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": list(CODES)},
            "detail": text,
            "errors": {"type": "array", "items": error},
        },
        "required": ["type", "title", "status", "code", "detail", "errors"],
    }


def _event_schema() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 256}
    return {
        "type": "object",
        "description": "A CloudEvent 1.0. `type` is one of the configuration's `events`; without X-Tenant-Id `subject` "
        "names the tenant.",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text,
            "source": text,
            "type": text,
            "subject": text,
            "time": {"type": "string", "format": "date-time"},
            "data": {},
        },
        "required": ["specversion", "id", "source", "type"],
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": list(_parameters(operation, schemas)),
        "responses": _responses(operation),
        "security": _security(operation),
    }
    if isinstance(operation.permission, Allowed):
        found["x-permission"] = f"{operation.permission.area}:{operation.permission.access}"
    if operation.request is not None:
        content = {media_type: {"schema": _ref(operation.request)} for media_type in operation.media_types}
        found["requestBody"] = {"required": True, "content": content}
    if operation.raw_body:
        found["requestBody"] = {"required": True, "content": _event_content(operation)}
    return found


def _event_content(operation: Operation) -> dict[str, Any]:
    one = {"$ref": "#/components/schemas/CloudEvent"}
    text = "Each a CloudEvent. One that is none is rejected alone, the others count."
    many = {"type": "array", "items": {}, "minItems": 1, "maxItems": MAX_EVENTS, "description": text}
    schemas: dict[str, dict[str, Any]] = {SINGLE: one, BATCH: many}
    return {
        media_type: {"schema": schemas.get(media_type, {"anyOf": [one, many]})} for media_type in operation.media_types
    }


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _parameters(operation: Operation, schemas: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for segment in operation.path.split("/"):
        if segment.startswith("{"):
            schema = {"type": "string", "minLength": 1, "maxLength": 128}
            yield {"name": segment[1:-1], "in": "path", "required": True, "schema": schema}
    if operation.query is not None:
        model = schemas[operation.query.__name__]
        for name, schema in model["properties"].items():
            shown = {key: value for key, value in schema.items() if key != "title"}
            yield {"name": name, "in": "query", "required": name in model.get("required", ()), "schema": _given(shown)}
    permission = operation.permission
    if isinstance(permission, Allowed) and permission.reach in ("tenant", "either"):
        schema = {"type": "string", "minLength": 1, "maxLength": 128}
        text = "For the platform's people: whose affairs."
        yield {"name": TENANT_HEADER, "in": "header", "required": False, "schema": schema, "description": text}
    if operation.keeps_answers:
        schema = {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$"}
        text = "A repeat with the same key gets the first answer."
        yield {"name": HEADER, "in": "header", "required": False, "schema": schema, "description": text}


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """Null is not something a query can say: leaving the parameter out is."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if not kinds:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


def _responses(operation: Operation) -> dict[str, Any]:
    done: dict[str, Any] = {"description": operation.summary}
    if operation.produces != "application/json":
        done["content"] = {operation.produces: {"schema": {"type": "string"}}}
    elif operation.response is not None:
        done["content"] = {"application/json": {"schema": _ref(operation.response)}}
    responses: dict[str, Any] = {str(operation.status): done}
    if operation.method == "GET":
        responses["304"] = {"description": "What If-None-Match names is still current."}
    by_status: dict[int, list[str]] = {}
    for code in operation.codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    for status, codes in sorted(by_status.items()):
        text = " ".join(f"`{code}`: {CODES[code][1]}" for code in codes)
        responses[str(status)] = {"description": text, "content": {"application/problem+json": {"schema": PROBLEM_REF}}}
    return responses


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    match operation.permission:
        case Anyone():
            return []
        case SelfKey():
            return [{"tenantKey": []}, {"tenantKeyHeader": []}]
        case LoggedIn(by_token=False):
            return [{"session": []}]
        case _:
            return [{"session": []}, {"personalToken": []}]


def _security_schemes() -> dict[str, Any]:
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "session": bearer | {"bearerFormat": "JWT", "description": "`access_token` of a login; 15 minutes."},
        "personalToken": bearer | {"description": "A personal token, `gpat_…`."},
        "tenantKey": bearer | {"description": "A tenant's key, `gk_live_…`."},
        "tenantKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
