"""Sizes and times of the data plane: bytes and seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What a client may send and how long anything may take."""

    max_head: int = 32 * 1024
    """A request's head in all; beyond it 431."""
    max_target: int = 8 * 1024
    """The request line; beyond it 414."""
    max_response_head: int = 64 * 1024
    max_body: int | None = None
    """A request's body; beyond it 413. A route's ``max_body`` option goes before."""
    head_timeout: float = 10.0
    """From a head's first byte to its last; then 408."""
    body_timeout: float = 30.0
    """Between two reads of a request's body; then 408."""
    write_timeout: float = 60.0
    """A client that takes nothing for so long has left."""
    idle_timeout: float = 75.0
    """A kept connection without a request."""
    half_close_grace: float = 0.5
    """After a client closed its sending side: it may still read, or be gone; the answer has this long."""
    linger: float = 1.0
    """After an answer that ends the connection in mid-request: the client has this long to read it."""
    hold: float = 0.1
    """How long a chunked body's beginning is looked at before the head goes out."""
    hold_bytes: int = 16 * 1024
    buffer: int = 64 * 1024
    """What waits in memory for a slow peer, each way, before reading stops."""
    replay_bytes: int = 64 * 1024
    """A request body up to this size, complete, can be sent again."""
    max_idle: int = 512
    """Kept upstream connections per target."""
    idle_reuse: float = 30.0
    """A kept upstream connection older than this is not used again."""
    idle_reuse_unsafe: float = 2.0
    """The same for methods that are not idempotent: they cannot be retried if the upstream closes at that moment."""
    half_open: float = 60.0
    """A tunnel whose client has closed its sending side, and in which nothing passes."""
    max_per_address: int | None = None
    """Connections of one address that is no trusted proxy's."""
    max_idle_clients: int | None = None
    """Kept connections without a request."""
    checkpoint_interval: float = 60.0
    """A stream or tunnel is recorded and looked at again this often (SEMANTICS §5, 7),"""
    checkpoint_bytes: int = 64 << 20
    """or when so much has passed."""
    max_age: float = 300.0
    """An upstream connection older than this is not kept: a name may have a new address."""
    drain_bytes: int = 8 << 20
    """How much of an answer is read on for its units when the client has left (SEMANTICS §12)."""
    sweep: float = 0.1
    """How often deadlines are looked at."""
