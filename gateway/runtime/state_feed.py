"""How configuration, tenants and keys reach the processes that serve by them (SEMANTICS §31).

``StatePublisher`` writes, ``StateFeed`` follows. A follower pays two word reads while nothing changes, applies deltas
in place, and rebuilds in a thread when there is a new configuration or a new full state, serving on by the old one.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from gateway.config.compile import compile_snapshot
from gateway.config.snapshot import Snapshot
from gateway.config.stored_plans import with_plans
from gateway.errors import GatewayError
from gateway.runtime import state_files as files
from gateway.runtime.live_state import LiveState
from gateway.runtime.state_files import (
    CONFIG_VERSION,
    LOG_BYTES,
    PLANS_NUMBER,
    SEQUENCE,
    STATE_GENERATION,
    STATE_NUMBER,
    Words,
)
from gateway.tenants.model import Key, Principal, Tenant

logger = logging.getLogger(__name__)

KEPT_FILES = 2
LOG_LIMIT = 4 << 20
"""A longer delta log is due to be replaced by a full state."""


class StateUnreadable(GatewayError):
    """A published state is missing, damaged or of another format."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.facts = {"path": str(path), "reason": reason}


class StatePublisher:
    """The writing side. One process publishes configurations and one the state; each writes its own words."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._words = Words(data_dir)

    def publish_config(self, snapshot: Snapshot) -> int:
        """Make a configuration current and return its version, one above the last; the same content keeps it."""
        words = self._words.view
        version = words[CONFIG_VERSION]
        content = {"folder": str(snapshot.folder), "document": snapshot.source}
        if version and _read_config(self._data_dir, version) == content:
            return version
        version += 1
        files.write_private(files.config_path(self._data_dir, version), msgspec.json.encode(content))
        words[CONFIG_VERSION] = version
        self._forget("config-*.json", version)
        return version

    def publish_plans(self, plans: dict[str, dict[str, object]]) -> None:
        """Make the store's plans current; the same plans are no event."""
        words = self._words.view
        number = words[PLANS_NUMBER]
        if (read_plans(self._data_dir, number) if number else {}) == plans:
            return
        files.write_private(files.plans_path(self._data_dir, number + 1), msgspec.json.encode(plans))
        words[PLANS_NUMBER] = number + 1
        self._announce()
        self._forget("plans-*.json", number + 1)

    def publish_state(self, sequence: int, tenants: Iterable[Tenant], keys: Iterable[Key]) -> None:
        """Make a full state current, with an empty delta log."""
        words = self._words.view
        number = words[STATE_NUMBER] + 1
        files.write_private(files.log_path(self._data_dir, number), b"")
        packed = files.pack_state(sequence, list(tenants), list(keys))
        files.write_private(files.state_path(self._data_dir, number), packed)
        words[LOG_BYTES] = 0  # first, so that no follower takes the old log's end for the new one's
        words[STATE_NUMBER], words[SEQUENCE] = number, sequence
        self._announce()
        self._forget("state-*.msgpack", number)
        self._forget("delta-*.log", number)

    def publish_delta(self, sequence: int, tenants: Iterable[Tenant] = (), keys: Iterable[Key] = ()) -> bool:
        """Append changed rows; False when a full state is due instead (none yet, or the log has grown long)."""
        words = self._words.view
        number, length = words[STATE_NUMBER], words[LOG_BYTES]
        if number == 0 or length > LOG_LIMIT:
            return False
        frame = files.pack_frame(files.Delta(sequence, list(tenants), list(keys)))
        descriptor = os.open(files.log_path(self._data_dir, number), os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = os.pwrite(descriptor, frame, length)  # over what a crash may have left behind the end
        finally:
            os.close(descriptor)
        if written != len(frame):
            return False
        words[LOG_BYTES], words[SEQUENCE] = length + len(frame), sequence
        self._announce()
        return True

    @property
    def sequence(self) -> int:
        """The store's change sequence that the published state stands at."""
        return self._words.view[SEQUENCE]

    def alive(self, now_us: int) -> None:
        """The store answered: the state is as fresh as ``now_us``, whether or not it changed."""
        self._words.view[files.ALIVE_US] = now_us

    def close(self) -> None:
        self._words.close()

    def _announce(self) -> None:
        self._words.view[STATE_GENERATION] += 1

    def _forget(self, pattern: str, current: int) -> None:
        """Delete older files, but for the last few, which a follower may be about to read."""
        for path in (self._data_dir / "state").glob(pattern):
            number = path.name.partition("-")[2].partition(".")[0]
            if number.isdigit() and int(number) <= current - KEPT_FILES:
                path.unlink(missing_ok=True)


class StateFeed:
    """The following side: ``snapshot`` and ``find`` are always those of the newest state that was taken over."""

    find: Callable[[bytes], Principal | None]

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._words = Words(data_dir)
        self._view = self._words.view
        self._seen = (-1, -1)
        self._config, self._plans, self._number, self._log = 0, 0, 0, 0
        self._rebuilt: LiveState | BaseException | None = None
        self._rebuilding: threading.Thread | None = None
        self._start = files.process_start(os.getpid())

    def load(self) -> LiveState:
        """Read everything now; raises ``GatewayError`` when no configuration was ever published.

        A state that can't be read leaves the configuration's own keys to serve by, until the next full state comes.
        """
        self._note()
        try:
            built = self._build()
        except StateUnreadable as error:
            logger.error("published state cannot be read; serving the configuration's keys only", extra=error.facts)
            built = self._build(with_state=False)
        self._take(built)
        return self.state

    def before(self) -> LiveState | None:
        """The state under the configuration before the present one; None where it is not kept, or not understood."""
        try:
            state = _read_state(self._data_dir, self._number) if self._number else None
            snapshot = _compiled(_read_config(self._data_dir, self._config - 1), self._config - 1)
        except GatewayError:
            return None
        if snapshot is None or state is None:
            return None
        plans = read_plans(self._data_dir, self._plans) if self._plans else {}
        return LiveState(with_plans(snapshot, plans), state.sequence, state.tenants, state.keys)

    def poll(self) -> bool:
        """Take over what is new; True when something was. Costs two word reads when nothing is."""
        view = self._view
        if self._rebuilding is None and (view[CONFIG_VERSION], view[STATE_GENERATION]) == self._seen:
            return False
        return self._advance()

    def check(self) -> None:
        """For each request: nothing to do, since polling between requests is soon enough (50 ms)."""

    @property
    def snapshot(self) -> Snapshot:
        return self.state.snapshot

    @property
    def tenants(self) -> dict[str, Tenant]:
        return self.state.tenants

    @property
    def has_state(self) -> bool:
        """Whether tenants and keys of the store were ever published here, and could be read."""
        return self._number > 0

    def age_seconds(self) -> float:
        """How long ago the store last confirmed the state; 0 before it ever did."""
        alive = self._view[files.ALIVE_US]
        return max(0.0, time.time() - alive / 1e6) if alive else 0.0

    def acknowledge(self, slot: int) -> None:
        """Tell that worker ``slot`` (this process) serves by the state it has now."""
        entry = files.ACK.pack(os.getpid(), self._start, self._config, self.state.sequence)
        path = files.ack_path(self._data_dir, slot, os.getpid())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, entry, 0)
        finally:
            os.close(descriptor)

    def withdraw(self, slot: int) -> None:
        """Nobody needs to wait for this worker any more."""
        files.ack_path(self._data_dir, slot, os.getpid()).unlink(missing_ok=True)

    def close(self) -> None:
        if self._rebuilding is not None:
            self._rebuilding.join()
        self._words.close()

    def _note(self) -> None:
        self._seen = (self._view[CONFIG_VERSION], self._view[STATE_GENERATION])

    def _advance(self) -> bool:
        if self._rebuilding is not None:
            if self._rebuilding.is_alive():
                return False
            self._rebuilding = None
            if isinstance(self._rebuilt, LiveState):
                self._take(self._rebuilt)
                return True
            logger.error("published state cannot be read; serving on by the last", extra={"reason": str(self._rebuilt)})
            return False
        self._note()
        rebuilt = (self._config, self._plans, self._number)
        if (self._seen[0], self._view[PLANS_NUMBER], self._view[STATE_NUMBER]) != rebuilt:
            self._rebuilding = threading.Thread(target=self._rebuild, name="state rebuild", daemon=True)
            self._rebuilding.start()
            return False
        return self._follow(self.state)

    def _follow(self, state: LiveState) -> bool:
        """Apply the deltas behind those already applied."""
        end = self._view[LOG_BYTES]
        if end <= self._log:
            return False
        try:
            data = _read_range(files.log_path(self._data_dir, self._number), self._log, end)
            deltas = list(files.read_frames(data))
        except (OSError, ValueError, msgspec.DecodeError) as error:
            logger.error("delta log cannot be read; serving on by the last state", extra={"reason": str(error)})
            return False
        for delta in deltas:
            state.apply(delta)
        self._log += len(data)
        return True

    def _rebuild(self) -> None:
        try:
            self._rebuilt = self._build()
        except Exception as error:
            self._rebuilt = error

    def _build(self, *, with_state: bool = True) -> LiveState:
        """Everything from the files; the deltas that came meanwhile are applied by the next poll."""
        config, plans = self._view[CONFIG_VERSION], self._view[PLANS_NUMBER]
        number = self._view[STATE_NUMBER] if with_state else 0
        content = _read_config(self._data_dir, config)
        if not content:
            raise GatewayError(f"no configuration was published in {self._data_dir}/state; start with gateway serve")
        document, folder = content["document"], content["folder"]
        assert isinstance(document, dict)
        snapshot = compile_snapshot(document, Path(str(folder)), config)
        if plans:
            snapshot = with_plans(snapshot, read_plans(self._data_dir, plans))
        state = _read_state(self._data_dir, number) if number else files.State(files.FORMAT, 0, [], [])
        live = LiveState(snapshot, state.sequence, state.tenants, state.keys)
        self._built = (config, plans, number)
        return live

    def _take(self, state: LiveState) -> None:
        """Serve by a rebuilt state, after the deltas behind it."""
        self._config, self._plans, self._number = self._built
        self._log = 0
        self.state = state
        if self._number:
            self._follow(state)
        self.find = state.find


def _read_state(data_dir: Path, number: int) -> files.State:
    path = files.state_path(data_dir, number)
    try:
        state = files.decode_state(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise StateUnreadable(path, str(error)) from None
    if state.format != files.FORMAT:
        raise StateUnreadable(path, f"format {state.format} is not known here")
    return state


def _read_config(data_dir: Path, version: int) -> dict[str, object]:
    try:
        content = msgspec.json.decode(files.config_path(data_dir, version).read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def read_plans(data_dir: Path, number: int) -> dict[str, dict[str, object]]:
    """The store's plans as they were published."""
    try:
        content = msgspec.json.decode(files.plans_path(data_dir, number).read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def published_plans(data_dir: Path) -> dict[str, dict[str, object]]:
    """The store's plans that are current in ``data_dir``."""
    if not (data_dir / "state" / "words").exists():
        return {}
    words = Words(data_dir)
    try:
        return read_plans(data_dir, words.view[PLANS_NUMBER])
    finally:
        words.close()


def _read_range(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def published_snapshot(data_dir: Path) -> Snapshot | None:
    """The configuration that is current in ``data_dir``; None when none was published, or when it can't be read."""
    path = data_dir / "state" / "words"
    if not path.exists():
        return None
    words = Words(data_dir)
    try:
        version = words.view[CONFIG_VERSION]
    finally:
        words.close()
    return _compiled(_read_config(data_dir, version), version)


def _compiled(content: dict[str, object], version: int) -> Snapshot | None:
    document, folder = content.get("document"), content.get("folder")
    if not isinstance(document, dict) or not isinstance(folder, str):
        return None
    try:
        return compile_snapshot(document, Path(folder), version)
    except ValueError:  # an older gateway accepted what this one does not
        return None
