"""What every child process shares: its spec, its lifeline to the supervisor, its word that it is ready, its end."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.errors import GatewayError

logger = logging.getLogger(__name__)

_YOUNG_OBJECTS = 10_000
REFUSED = 78
"""A child's exit code when it must not work with what it found, such as a store of a newer gateway."""


class ChildSpec(msgspec.Struct, frozen=True):
    """What the supervisor tells a child on its command line. ``listen`` holds inherited descriptors.

    Where ``go`` is one, the child loads its code and begins when that can be read. ``role`` is what this host runs.
    """

    name: str
    data_dir: str
    config_path: str
    lifeline: int
    ready: int
    slot: int = 0
    listen: tuple[int, ...] = ()
    log_level: str = "INFO"
    go: int = -1
    role: str = "all"

    @property
    def data(self) -> Path:
        return Path(self.data_dir)


def read_spec() -> ChildSpec:
    """The spec from the command line. Ctrl-C is the supervisor's affair: it reaches children as SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return msgspec.json.decode(sys.argv[1].encode(), type=ChildSpec)


def wait_for_go(spec: ChildSpec) -> None:
    """Wait for the supervisor's word; its death is one too."""
    if spec.go >= 0:
        os.read(spec.go, 1)
        os.close(spec.go)


def say_ready(spec: ChildSpec) -> None:
    """Tell the supervisor that this child does its work now."""
    with contextlib.suppress(OSError):
        os.write(spec.ready, b"ready\n")
        os.close(spec.ready)


def stop_event(spec: ChildSpec) -> asyncio.Event:
    """An event that is set by SIGTERM, or when the supervisor is gone (its end of the lifeline closed)."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def lifeline_closed() -> None:
        loop.remove_reader(spec.lifeline)
        stop.set()

    loop.add_reader(spec.lifeline, lifeline_closed)
    return stop


def settle_heap() -> None:
    """What a child loaded for its work stays for its life: the collector need not go through it again and again.

    Nor need it look at a busy worker's young objects each time that there are 700 more: nearly all of them are gone by
    themselves, and those of keys that call for the first time stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """End with ``REFUSED``, and one line that says why, on an error that trying again will not mend."""
    try:
        yield
    except GatewayError as error:
        logger.critical("this gateway must not go on", extra={"reason": str(error)})
        raise SystemExit(REFUSED) from None
