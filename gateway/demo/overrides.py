"""What the demo lays over the configuration file: its own data, ports and API, and more tenants when asked."""

from urllib.parse import urlsplit

from gateway.config.snapshot import Address, Snapshot
from gateway.demo.home import DemoHome
from gateway.errors import GatewayError
from gateway.runtime.sockets import PortTaken, listen

UPSTREAM = "api"
PAIRS = 50


class BadUpstream(GatewayError):
    """``--upstream`` is not a URL that a target can be."""


def data_overrides(home: DemoHome) -> dict[str, object]:
    """Everything that is written goes to the demo's own folder."""
    return {
        "data_dir": str(home.folder),
        "store.url": f"sqlite:///{home.folder}/gateway.db",
        "counters.url": f"mmap:///{home.folder}/counters",
    }


def api_overrides(snapshot: Snapshot, api_url: str, visitor_url: str | None) -> dict[str, object]:
    """The demo's API behind the configured routes; or the visitor's own behind one route for everything."""
    if visitor_url is None:
        return {f"upstreams.{UPSTREAM}.targets": [api_url]} if UPSTREAM in snapshot.upstreams else {}
    origin, _ = split_upstream(visitor_url)
    # Prices name meters such as tokens; where nothing reports them, each call counts none.
    meters = {meter.name: 0 for route in snapshot.routes for meter in route.meters} | {"calls": 1}
    route: dict[str, object] = {"match": {"paths": ["/"]}, "upstream": UPSTREAM, "meters": meters}
    if urlsplit(visitor_url).scheme == "https":
        route["host"] = "upstream"  # a public API answers to its own name only
    return {f"upstreams.{UPSTREAM}": {"targets": [origin]}, "routes": {UPSTREAM: route}}


def split_upstream(url: str) -> tuple[str, str]:
    """The origin and the path of ``--upstream``; raises ``BadUpstream``."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUpstream(f"--upstream {url}: not a URL; try http://localhost:3000") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise BadUpstream(f"--upstream {url}: expected a URL such as http://localhost:3000")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port else ""), parts.path or "/"


def port_overrides(data: Address, control: Address) -> dict[str, object]:
    """The pair of ports that the demo listens on."""
    return {"server.listen": str(data), "server.control": str(control), "server.public_url": f"http://{control}"}


def free_pair(data: Address, control: Address, skip: int = 0) -> tuple[Address, Address]:
    """The configured pair, or the next free one, two ports further each time; raises ``PortTaken`` after many."""
    refused: PortTaken | None = None
    for pair in range(skip, PAIRS):
        candidates = Address(data.host, data.port + 2 * pair), Address(control.host, control.port + 2 * pair)
        try:
            for candidate in candidates:
                listen(candidate).close()
        except PortTaken as error:
            refused = refused or error
            continue
        return candidates
    raise refused or PortTaken(data, "no free pair of ports")


def tenant_overrides(count: int, plans: tuple[str, ...]) -> dict[str, object]:
    """``count`` further tenants on the given plans in turn."""
    return {
        f"tenants.customer-{number:05}": {"name": f"Customer {number:,}", "plan": plans[number % len(plans)]}
        for number in range(1, count + 1)
    }
