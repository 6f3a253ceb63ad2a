"""Units from an answer's body, read from a bounded, decompressed copy while the original bytes pass (SEMANTICS §11)."""

import re
import zlib
from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.metering.units import whole_units
from gateway.routing.route import Meter

BODY_SOURCES = frozenset(("json", "sse"))
MAX_EVENT = 1 << 20
_LINE_END = re.compile(rb"\r\n|\n|\r")


class BodyReader(Protocol):
    """Reads a body as it passes."""

    def feed(self, data: bytes) -> None: ...

    def units(self) -> dict[str, int]:
        """The figures found so far, per meter; a meter without a valid one is left out."""
        ...


def at_path(document: object, path: str) -> object:
    """The value at ``a.b.0.c``; None when there is none."""
    for part in path.removeprefix("$.").split("."):
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document


def _document(text: bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class JsonReader:
    """One JSON document, up to ``scan`` bytes of it."""

    def __init__(self, meters: Sequence[Meter], scan: int) -> None:
        self._meters = meters
        self._scan = scan
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        if self._size <= self._scan:
            self._parts.append(data[: self._scan + 1 - self._size])
            self._size += len(data)

    def units(self) -> dict[str, int]:
        if self._size > self._scan:
            return {}
        document = _document(b"".join(self._parts))
        found: dict[str, int] = {}
        for meter in self._meters:
            for alternative in _alternatives(meter.path):
                figures = [whole_units(at_path(document, path)) for path in alternative]
                known = [figure for figure in figures if figure is not None]
                if known:
                    found[meter.name] = sum(known)
                    break
        return found


def _alternatives(path: str) -> list[list[str]]:
    """``a+b|c``: the sum of a and b, or else c."""
    return [[part.strip() for part in alternative.split("+")] for alternative in path.split("|")]


class SseReader:
    """Server-sent events: for each meter, the last event whose data has the figure. Only one event is kept at a time.

    Providers report usage in one last event (``usage.total_tokens``) or spread it over several (``message.usage.…`` in
    the first, ``usage.output_tokens`` in each delta); alternatives are joined by ``|`` and sums by ``+`` in a path.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = meters
        self._paths = {path for meter in meters for alternative in _alternatives(meter.path) for path in alternative}
        self._line = b""
        self._data: list[bytes] = []
        self._size = 0
        self._last: dict[str, int] = {}
        self._after_cr = False

    def feed(self, data: bytes) -> None:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        lines = _LINE_END.split(self._line + data)
        self._line = lines.pop()
        if len(self._line) > MAX_EVENT:
            self._line = self._line[:5]  # what cannot be a figure any more: only the field's name is kept
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if not line:
            self._dispatch()
        elif line.startswith(b"data:") and self._size <= MAX_EVENT:
            value = line[5:].removeprefix(b" ")
            self._data.append(value)
            self._size += len(value)

    def _dispatch(self) -> None:
        data, self._data, size, self._size = self._data, [], self._size, 0
        if not data or size > MAX_EVENT:
            return
        text = b"\n".join(data)
        if b"{" not in text:
            return
        document = _document(text)
        for path in self._paths:
            figure = whole_units(at_path(document, path))
            if figure is not None:
                self._last[path] = figure

    def units(self) -> dict[str, int]:
        self._dispatch()  # a last event without its empty line
        found: dict[str, int] = {}
        for meter in self._meters:
            for alternative in _alternatives(meter.path):
                figures = [self._last[path] for path in alternative if path in self._last]
                if figures:
                    found[meter.name] = sum(figures)
                    break
        return found


class Inflate:
    """Decompresses what passes, bounded in memory, and feeds it to a reader. A broken stream reads as ended."""

    def __init__(self, reader: BodyReader, coding: bytes, scan: int) -> None:
        self._reader = reader
        self._inflate = zlib.decompressobj(31) if coding == b"gzip" else None
        self._head = b""
        self._left = scan * 64  # a bomb is not read to its end

    def feed(self, data: bytes) -> None:
        if self._inflate is None:
            # Servers send raw deflate under this name as often as the zlib form (RFC 9110 §8.4.1.2): RFC 1950 §2.2
            # tells them apart by the first two bytes.
            self._head += data
            if len(self._head) < 2:
                return
            first, second = self._head[:2]
            has_header = first & 0x0F == 8 and (first << 8 | second) % 31 == 0
            self._inflate = zlib.decompressobj(15 if has_header else -15)
            data, self._head = self._head, b""
        while data and self._left > 0:
            try:
                out = self._inflate.decompress(data, 1 << 16)
            except zlib.error:
                self._left = 0
                return
            self._left -= len(out)
            self._reader.feed(out)
            data = b"" if self._inflate.eof else self._inflate.unconsumed_tail

    def units(self) -> dict[str, int]:
        return self._reader.units()


class Readers:
    """Several readers of one body."""

    def __init__(self, readers: Sequence[BodyReader]) -> None:
        self._readers = readers

    def feed(self, data: bytes) -> None:
        for reader in self._readers:
            reader.feed(data)

    def units(self) -> dict[str, int]:
        return {name: figure for reader in self._readers for name, figure in reader.units().items()}


DECODED = (b"gzip", b"deflate", b"identity")
"""Codings that a reader understands; requests on such routes ask for no other."""


def body_reader(meters: Sequence[Meter], codings: Sequence[bytes], scan: int) -> BodyReader | None:
    """A reader for an answer with these Content-Encodings (lower case); None when they cannot be decoded."""
    json = [meter for meter in meters if meter.source == "json"]
    sse = [meter for meter in meters if meter.source == "sse"]
    readers: list[BodyReader] = []
    if json:
        readers.append(JsonReader(json, scan))
    if sse:
        readers.append(SseReader(sse))
    reader: BodyReader = readers[0] if len(readers) == 1 else Readers(readers)
    coding = [name for name in codings if name != b"identity"]
    if not coding:
        return reader
    if len(coding) > 1 or coding[0] not in (b"gzip", b"x-gzip", b"deflate"):
        return None
    return Inflate(reader, b"deflate" if coding[0] == b"deflate" else b"gzip", scan)
