"""``counters.url`` of a Redis: where it is, how to log in, and whether to speak TLS."""

import ssl
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT = 6379
_OPTIONS = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """``redis://[user:password@]host[:port][/database]``, or ``rediss://`` for TLS with ``?ca= &cert= &key=`` files.

    ``deadline`` is ``counters.deadline`` in seconds: how long a call waits for an answer (SEMANTICS §22).
    """

    host: str
    port: int = DEFAULT_PORT
    database: int = 0
    user: str = ""
    password: str = ""
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    deadline: float = 0.05

    def context(self) -> ssl.SSLContext | None:
        """What TLS is spoken with; None without. Raises ``OSError`` when a file cannot be read."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca or None)
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context

    def client_options(self) -> dict[str, object]:
        """The same for redis-py."""
        options: dict[str, object] = {"host": self.host, "port": self.port}
        if self.user:
            options["username"] = self.user
        if self.password:
            options["password"] = self.password
        if self.tls:
            options |= {"ssl": True, "ssl_ca_certs": self.ca or None, "ssl_certfile": self.cert or None}
            options |= {"ssl_keyfile": self.key or self.cert or None}
        return options


def parse_redis_url(url: str) -> RedisAddress:
    """The address in a URL. Raises ``ValueError``, whose message never repeats the URL: it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError('expected "redis://HOST:6379/0", or rediss:// for TLS')
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise ValueError("the port is not a number from 1 to 65535") from None
    path = parts.path.strip("/")
    if path and not path.isdigit():
        raise ValueError("the database is a number, as in redis://HOST:6379/0")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = parts.scheme == "rediss"
    if not set(options) <= set(_OPTIONS if tls else ()):
        raise ValueError("after ? only ca, cert and key (files) are known, with rediss://")
    return RedisAddress(
        parts.hostname,
        port,
        int(path or 0),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        tls,
        options.get("ca", ""),
        options.get("cert", ""),
        options.get("key", ""),
    )
