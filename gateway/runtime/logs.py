"""Logs: one JSON object a line on standard error. Fields carry facts; no credential is ever passed here."""

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON: time (RFC 3339, UTC), level, process, event, and what ``extra`` named."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class OursAlone(logging.Filter):
    """Drops what aiohttp logs of requests that are no HTTP, or too long: a traceback each, with the start of the field
    that was too long, which may be a credential. Strangers fill no log; they are answered 400."""

    def filter(self, record: logging.LogRecord) -> bool:
        fault = record.exc_info[1] if record.exc_info else None
        return all(one.__module__ != "aiohttp.http_exceptions" for one in type(fault).__mro__)


def configure(process: str, level: str = "INFO") -> logging.Logger:
    """Send everything of the ``gateway`` loggers, and the warnings of others, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(OursAlone())
    logger = logging.getLogger("gateway")
    logger.setLevel(level)
    return logger
