"""From a request's bytes to validated models; every fault of the input is told at once."""

import re
from collections.abc import Iterable
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.api.problems import ApiError, FieldError

M = TypeVar("M", bound=BaseModel)
MAX_ERRORS = 50
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


async def read_body(request: web.Request, max_body: int, media_types: tuple[str, ...]) -> bytes:
    """The body, bounded; raises ``ApiError``."""
    if (request.content_length or 0) > max_body:
        raise ApiError("too_large", f"The body may have {max_body} bytes.")
    given = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if given not in media_types:
        raise ApiError("unsupported_media_type", f"Send {' or '.join(media_types)}.")
    parts: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > max_body:
            raise ApiError("too_large", f"The body may have {max_body} bytes.")
        parts.append(chunk)
    return b"".join(parts)


def parse_body(raw: bytes, model: type[M]) -> M:
    """The body as its model; raises ``ApiError``."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        if any(one["type"] == "json_invalid" for one in details):
            raise ApiError("malformed", "The body is not JSON.") from None
        raise _invalid(details) from None
    except (ValueError, RecursionError):
        raise ApiError("malformed", "The body is not JSON.") from None


def parse_query(request: web.Request, model: type[M]) -> M:
    """The query parameters as their model; each once, none unknown."""
    repeated = [name for name in set(request.query) if len(request.query.getall(name)) > 1]
    if repeated:
        raise ApiError("invalid", errors=tuple(FieldError(name, "is given twice") for name in sorted(repeated)))
    odd = [name[:100] for name, value in request.query.items() if CONTROL.search(value)][:MAX_ERRORS]
    if odd:  # PostgreSQL takes no NUL, and nothing that one may ask for holds one
        raise ApiError("invalid", errors=tuple(FieldError(name, "must not hold control characters") for name in odd))
    try:
        return model.model_validate_strings(dict(request.query))
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_context=False, include_input=False)) from None


def _invalid(details: Iterable[ErrorDetails]) -> ApiError:
    errors = []
    for one in list(details)[:MAX_ERRORS]:
        message = one["msg"].removeprefix("Value error, ")
        errors.append(FieldError(".".join(str(part)[:100] for part in one["loc"]), message))
    return ApiError("invalid", errors=tuple(errors))
