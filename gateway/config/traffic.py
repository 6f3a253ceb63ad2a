"""Traffic blocks to the values that the data plane is built from, and what is wrong with their files."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.snapshot import ClientSettings, ListenerTls
from gateway.config.traffic_schema import (
    ClientsBlock,
    CorsBlock,
    EjectBlock,
    HeadersBlock,
    HealthBlock,
    ListenerTlsBlock,
    UpstreamTlsBlock,
)
from gateway.config.yaml_tree import FieldPath
from gateway.routing.pattern import parse_pattern
from gateway.routing.route import Cors, Ejection, HeaderRules, HealthCheck, UpstreamTls

if TYPE_CHECKING:
    from gateway.config.schema import Document, RouteBlock


def ejection(block: EjectBlock) -> Ejection:
    return Ejection(block.failures, block.pause)


def health(block: HealthBlock | None) -> HealthCheck | None:
    return HealthCheck(block.path, block.interval, block.timeout, block.failures) if block is not None else None


def upstream_tls(block: UpstreamTlsBlock | None, folder: Path) -> UpstreamTls:
    if block is None:
        return UpstreamTls()
    return UpstreamTls(str(folder / block.ca) if block.ca else "", block.server_name or "")


def header_rules(block: HeadersBlock) -> HeaderRules:
    return HeaderRules(frozenset(name.lower() for name in block.remove), tuple(sorted(block.set.items())))


def cors(block: CorsBlock | None) -> Cors | None:
    if block is None:
        return None
    return Cors(
        origins=tuple(block.origins),
        methods=tuple(block.methods),
        headers=tuple(block.headers) if block.headers is not None else None,
        expose=tuple(block.expose),
        credentials=block.credentials,
        max_age_us=block.max_age,
    )


def listener_tls(block: ListenerTlsBlock | None, folder: Path) -> ListenerTls | None:
    return ListenerTls(folder / block.cert, folder / block.key) if block is not None else None


def client_settings(block: ClientsBlock) -> ClientSettings:
    return ClientSettings(**{f"{name}_us" if name.endswith("_timeout") else name: value for name, value in block})


def check_traffic(document: "Document", folder: Path) -> Iterator[tuple[FieldPath, str]]:
    """Files that are missing or hold something else, and fields that contradict each other."""
    if (tls := document.server.tls) is not None:
        message = _key_pair(folder / tls.cert, folder / tls.key)
        if message:
            yield ("server", "tls"), message
    for name, upstream in document.upstreams.items():
        if upstream.tls is not None and upstream.tls.ca:
            message = _ca(folder / upstream.tls.ca)
            if message:
                yield ("upstreams", name, "tls", "ca"), message
    for name, route in document.routes.items():
        for field, message in _route(route):
            yield ("routes", name, field), message


def _route(route: "RouteBlock") -> Iterator[tuple[str, str]]:
    if route.rewrite_prefix is not None and route.strip_prefix:
        yield "rewrite_prefix", "cannot be beside strip_prefix"
    if route.rewrite_prefix is not None and any(parse_pattern(path).kind == "template" for path in route.match.paths):
        yield "rewrite_prefix", "a path with a {parameter} has no prefix to rewrite"
    if route.cors is not None and route.cors.credentials and "*" in route.cors.origins:
        yield "cors", 'credentials need named origins, not "*"'


def _key_pair(cert: Path, key: Path) -> str:
    for path in (cert, key):
        if not path.is_file():
            return f"no file {path}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError, ValueError):
        return f"{cert} and {key} are no certificate and its key"
    return ""


def _ca(path: Path) -> str:
    if not path.is_file():
        return f"no file {path}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, OSError):
        return f"{path} holds no certificates"
    return ""
