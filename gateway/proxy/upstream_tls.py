"""The TLS context of connections to an upstream: the CAs it trusts and the name it asks for."""

import ssl
from functools import lru_cache

from gateway.routing.route import UpstreamTls


@lru_cache(maxsize=256)
def client_context(settings: UpstreamTls) -> ssl.SSLContext:
    """A context that verifies chain and name. Raises ``OSError`` or ``ssl.SSLError`` for a file that holds no CA."""
    context = ssl.create_default_context(cafile=settings.ca or None)
    context.set_alpn_protocols(["http/1.1"])
    return context
