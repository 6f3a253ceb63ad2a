"""The top-level defaults of CONTRACT, in the words of the configuration itself."""

import copy

DEFAULTS: dict[str, object] = {
    "version": 1,
    "server": {
        "listen": "127.0.0.1:8080",
        "control": "127.0.0.1:8081",
        "portal": None,
        "public_url": "http://127.0.0.1:8081",
        "workers": 1,
        "trusted_proxies": [],
        "metrics_allow": ["127.0.0.0/8"],
        "tls": None,
        "clients": {},
    },
    "data_dir": "data",
    "store": {"url": "sqlite:///data/gateway.db"},
    "counters": {"url": "mmap:///data/counters", "deadline": "50ms"},
    "spool": {"fsync": "interval", "on_error": "refuse", "max_size": "10GB", "keep": "24h"},
    "calls": {"address": "full", "keep": "forever"},
    "headers": "ietf",
    "accounts": {"secret": "", "registration": "closed", "default_plan": "free", "verify_email": "auto"},
    "mail": {"url": None, "from": None},
    "events": {},
    "billing": {
        "currency": "USD",
        "seller": {},
        "invoice_prefix": "INV",
        "draft_grace": "1h",
        "proration": "second",
        "due": "14d",
        "suspend_after": "14d",
        "tax": {},
        "pdf_fonts": [],
    },
    "plugins": [],
    "plans": {},
    "tenants": {},
}


def with_defaults(document: dict[str, object]) -> dict[str, object]:
    """The document with what it leaves out; an empty section (``plans:``) counts as left out."""
    full = copy.deepcopy(DEFAULTS)
    for name, value in document.items():
        default = full.get(name)
        if isinstance(default, dict) and isinstance(value, dict):
            full[name] = default | value
        elif value is not None:
            full[name] = value
    _follow_control(document, full)
    return full


def _follow_control(document: dict[str, object], full: dict[str, object]) -> None:
    """Without ``public_url``, people reach the control plane where it listens."""
    given, server = document.get("server"), full["server"]
    if isinstance(given, dict) and isinstance(server, dict) and "public_url" not in given:
        control = server["control"]
        if isinstance(control, str):
            host, _, port = control.rpartition(":")
            server["public_url"] = f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104
