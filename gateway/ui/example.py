"""The curl line that an empty page shows: a call that would appear on it."""

from gateway.config.snapshot import Snapshot


def example_call(snapshot: Snapshot) -> str:
    """A plain GET of the first route that takes one; empty when there is no such route."""
    for route in snapshot.routes:
        if route.methods and "GET" not in route.methods:
            continue
        for path in route.paths:
            plain = path.removeprefix("=")
            if "{" not in plain:
                host = str(snapshot.server.listen).replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")  # noqa: S104
                key = ' -H "X-API-Key: $KEY"' if route.auth == "key" else ""
                return f"curl -i{key} http://{host}{plain}"
    return ""
