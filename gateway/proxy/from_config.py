"""The data plane's settings out of the configuration (``server.clients``); the rest are constants of the program."""

from gateway.config.snapshot import ClientSettings
from gateway.proxy.settings import Settings


def settings_of(clients: ClientSettings) -> Settings:
    """Seconds and bytes."""
    return Settings(
        max_head=clients.max_head,
        max_target=clients.max_target,
        max_body=clients.max_body,
        head_timeout=clients.head_timeout_us / 1e6,
        body_timeout=clients.body_timeout_us / 1e6,
        write_timeout=clients.write_timeout_us / 1e6,
        idle_timeout=clients.idle_timeout_us / 1e6,
        max_per_address=clients.max_per_address,
        max_idle_clients=clients.max_idle,
    )
