"""``/docs``: the OpenAPI document as a page that people read. No script, no outside resource."""

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from gateway.api.problems import CODES

INTRO = """\
<p>Log in, or make a personal token, and send it as <code>Authorization: Bearer …</code>. Amounts are texts with their
currency, times are RFC 3339 in UTC, periods are half-open. Lists have <code>data</code> and <code>next</code>: pass
<code>next</code> as <code>after</code>. Errors are <code>application/problem+json</code> with a stable
<code>code</code>. The same POST with the same <code>Idempotency-Key</code> is done once. A GET takes
<code>If-None-Match</code>, a change <code>If-Match</code>; the platform's people name a tenant in
<code>X-Tenant-Id</code>.</p>
<pre><code>B=%s/api/v1
T=$(curl -s $B/auth/login -H 'Content-Type: application/json' \\
  -d '{"email": "you@example.com", "password": "…"}' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
curl -s $B/keys -H "Authorization: Bearer $T" -H 'Content-Type: application/json' -d '{"name": "server"}'
curl -s $B/usage -H "Authorization: Bearer $T"</code></pre>
<p>The whole as <a href="/api/v1/openapi.json">OpenAPI 3.1</a>.</p>"""


EVERYWHERE = (
    "malformed", "rate_limited", "internal", "unavailable", "unauthenticated", "insufficient_scope", "invalid",
    "tenant_header_forbidden", "tenant_required", "too_large", "unsupported_media_type", "precondition_failed",
    "idempotency_in_progress", "idempotency_mismatch",
)  # fmt: skip
"""Codes that follow from what every request has: a credential, headers, a body."""


def docs_page(document: dict[str, Any]) -> str:
    """The page for an OpenAPI document."""
    base = document["servers"][0]["url"].removesuffix("/api/v1")
    groups = [(tag["name"], tag["description"], list(_of_tag(document, tag["name"]))) for tag in document["tags"]]
    menu = "".join(f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text, _ in groups)
    menu += '<li><a href="#codes">Codes</a></li><li><a href="#schemas">Bodies</a></li>'
    parts = "".join(
        f'<section id="{name}"><h2>{escape(text)}</h2>{"".join(operations)}</section>'
        for name, text, operations in groups
    )
    schemas = "".join(_schema(name, one) for name, one in sorted(document["components"]["schemas"].items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>API</title>'
        '<link rel="icon" href="/static/mark.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/static/docs.css"></head><body><main><h1>API</h1>'
        f'{INTRO % escape(base)}<nav aria-label="Parts"><ul>{menu}</ul></nav>'
        f'{parts}{_codes()}<section id="schemas"><h2>Bodies</h2>{schemas}</section></main></body></html>'
    )


def _of_tag(document: dict[str, Any], tag: str) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield _operation(method.upper(), path, operation)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        (escape(one["name"]), escape(one["in"]), _kind(one["schema"]) + (" · needed" if one["required"] else ""))
        for one in operation["parameters"]
        if one["in"] != "header"
    ]
    parameters = _table(("Parameter", "In", ""), rows) if rows else ""
    body = operation.get("requestBody", {}).get("content", {})
    sends = f"<p>Send {_kind(next(iter(body.values()))['schema'])}.</p>" if body else ""
    answers = "<br>".join(filter(None, (_answer(status, one) for status, one in operation["responses"].items())))
    permission = operation.get("x-permission")
    needs = f"<p>Needs <code>{escape(permission)}</code>.</p>" if permission else ""
    name = escape(operation["operationId"])
    return (
        f'<article id="{name}"><h3><code>{method} {escape(path)}</code></h3><p>{escape(operation["summary"])}</p>'
        f"{needs}{sends}{parameters}<p>{answers}</p></article>"
    )


def _answer(status: str, response: dict[str, Any]) -> str:
    """A good answer's body, a refusal's codes; what they mean is told once for all."""
    codes = re.findall("`([a-z_]+)`:", response["description"])
    content = response.get("content", {})
    if codes or status == "304":
        codes = [code for code in codes if code not in EVERYWHERE]
        return f"{status} " + " ".join(f"<code>{code}</code>" for code in codes) if codes else ""
    return f"{status} {_kind(next(iter(content.values()))['schema']) if content else ''}"


def _codes() -> str:
    rows = [(str(status), f"<code>{code}</code>", escape(text)) for code, (status, text) in CODES.items()]
    everywhere = f"Every request may be answered {', '.join(EVERYWHERE)}; the others are named with the operation."
    table = _table(("Status", "Code", ""), rows)
    return f'<section id="codes"><h2>Codes of refusals</h2><p>{everywhere}</p>{table}</section>'


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (f"<code>{escape(field)}</code>", _kind(one), "needed" if field in required else "")
        for field, one in schema.get("properties", {}).items()
    ]
    text = _text(schema.get("description", ""))
    fields = _table(("Field", "", ""), rows)
    return f'<article id="schema-{escape(name)}"><h3>{escape(name)}</h3><p>{text}</p>{fields}</article>'


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " · ".join(f"<code>{escape(str(one) or '(empty)')}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
        return f"map to {_kind(schema['additionalProperties'])}"
    return escape(str(schema.get("format") or schema.get("type") or "anything"))


def _text(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _table(heading: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """End tags that HTML lets one leave out are left out: there are thousands."""
    head = "".join(f"<th>{one}" for one in heading)
    body = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<table><thead><tr>{head}<tbody>{body}</table>"
