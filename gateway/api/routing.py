"""From method and path to an operation, by the table: literal segments before ``{names}``."""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from gateway.api.operation import Operation
from gateway.api.problems import NOT_FOUND, ApiError

MAX_PARAMETER = 128


class Routes:
    """All operations, by the number of their segments."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._by_length: dict[int, list[tuple[tuple[str, ...], Operation]]] = {}
        self._reading = {one.path: one for one in operations if one.method == "GET"}
        for operation in operations:
            segments = tuple(operation.path.strip("/").split("/"))
            self._by_length.setdefault(len(segments), []).append((segments, operation))
        for candidates in self._by_length.values():
            candidates.sort(key=lambda one: [segment.startswith("{") for segment in one[0]])

    def reading(self, path: str) -> Operation | None:
        """The operation that reads what is at a path."""
        return self._reading.get(path)

    def find(self, method: str, raw_path: str) -> tuple[Operation, dict[str, str]]:
        """The operation and its parameters; raises ``ApiError`` 404 or, when only the method is wrong, 405."""
        segments = raw_path.strip("/").split("/") if raw_path.startswith("/") and not raw_path.endswith("/") else []
        best: tuple[str, ...] | None = None
        methods: dict[str, tuple[Operation, dict[str, str]]] = {}
        for pattern, operation in self._by_length.get(len(segments), ()):
            if best is not None and pattern != best:
                continue
            params = _match(pattern, segments)
            if params is not None:
                best = pattern
                methods[operation.method] = operation, params
        if not methods:
            raise NOT_FOUND
        found = methods.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else [])})
            raise ApiError("method_not_allowed", headers={"Allow": ", ".join(allowed)})
        return found


def _match(pattern: tuple[str, ...], segments: Sequence[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if not wanted.startswith("{"):
            if wanted != given:
                return None
            continue
        try:
            text = unquote_to_bytes(given).decode()
        except UnicodeDecodeError:
            return None
        if not text or len(text) > MAX_PARAMETER or re.search(r"[\x00-\x1f\x7f]", text):
            return None
        params[wanted[1:-1]] = text
    return params
