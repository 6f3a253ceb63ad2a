"""Rewrites headers by rule: what to take out of requests and answers, and what to add.

Edit the two rules below, and name the file under ``plugins`` in the configuration.
"""

from gateway.hooks import HeaderChanges, Phase, Registry, RequestHook, ResponseHook

REQUEST = HeaderChanges(remove=frozenset([b"x-debug"]), add=((b"X-Gateway", b"metering"),))
RESPONSE = HeaderChanges(remove=frozenset([b"server", b"x-powered-by"]))


def rewrite_request(event: RequestHook) -> HeaderChanges:
    """What changes on the way to the upstream."""
    return REQUEST


def rewrite_response(event: ResponseHook) -> HeaderChanges:
    """What changes on the way to the client."""
    return RESPONSE


def register(registry: Registry) -> None:
    """Entry point."""
    registry.add(Phase.REQUEST, "header_rewrite", rewrite_request)
    registry.add(Phase.RESPONSE, "header_rewrite", rewrite_response)
