"""The files below ``data/state`` through which configuration, tenants and keys reach the workers (SEMANTICS §31).

- ``words``: a mapped page of 64-bit words that says which files are current. The supervisor writes the first, the
  process that follows the store the others; each word has one writer, and ``STATE_GENERATION`` is written last.
- ``config-<version>.json``: the resolved configuration.
- ``plans-<number>.json``: the plans of the store, which lie beside the configuration's.
- ``state-<number>.msgpack``: all tenants and keys of the store at one change sequence.
- ``delta-<number>.log``: what changed since, one frame {length, crc32, packed ``Delta``} after another.
- ``ack-<slot>-<pid>``: how far one worker has come.

All files are 0600: the configuration holds secrets, and the keys' hashes are nobody's business.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.tenants.model import Key, Tenant

FORMAT = 1
MAGIC = 0x4754_5753_5441_0001
WORD_BYTES = 4096
MAGIC_WORD, CONFIG_VERSION, STATE_GENERATION, STATE_NUMBER, LOG_BYTES, SEQUENCE, ALIVE_US, PLANS_NUMBER = range(8)
FRAME = struct.Struct("<II")
ACK = struct.Struct("<QQQQ")
"""pid, start of the process in clock ticks (0: unknown), configuration version, change sequence."""
ACK_ERROR = struct.error


class State(msgspec.Struct, array_like=True, gc=False):
    """All tenants and keys of the store."""

    format: int
    sequence: int
    tenants: list[Tenant]
    keys: list[Key]


class Delta(msgspec.Struct, array_like=True, gc=False):
    """The present rows of what changed up to ``sequence``; a row that is gone is not in it (none ever goes)."""

    sequence: int
    tenants: list[Tenant]
    keys: list[Key]


_pack = msgspec.msgpack.Encoder().encode
_state_decoder = msgspec.msgpack.Decoder(State)
_delta_decoder = msgspec.msgpack.Decoder(Delta)
decode_state = _state_decoder.decode


def folder(data_dir: Path) -> Path:
    """``data/state``, made when it is not there."""
    path = data_dir / "state"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


class Words:
    """The mapped words. Aligned 64-bit stores through a native view are single instructions, so no word is torn."""

    def __init__(self, data_dir: Path) -> None:
        path = folder(data_dir) / "words"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < WORD_BYTES:
                os.pwrite(descriptor, b"\0", WORD_BYTES - 1)
            self._map = mmap.mmap(descriptor, WORD_BYTES)
        finally:
            os.close(descriptor)
        self.view = memoryview(self._map).cast("Q")
        if self.view[MAGIC_WORD] != MAGIC:
            self.view[CONFIG_VERSION:ALIVE_US] = memoryview(bytes(8 * (ALIVE_US - CONFIG_VERSION))).cast("Q")
            self.view[PLANS_NUMBER] = 0
            self.view[MAGIC_WORD] = MAGIC

    def close(self) -> None:
        self.view.release()
        self._map.close()


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable by its owner only; it is on the disk before it has its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def config_path(data_dir: Path, version: int) -> Path:
    return data_dir / "state" / f"config-{version}.json"


def plans_path(data_dir: Path, number: int) -> Path:
    return data_dir / "state" / f"plans-{number}.json"


def state_path(data_dir: Path, number: int) -> Path:
    return data_dir / "state" / f"state-{number}.msgpack"


def log_path(data_dir: Path, number: int) -> Path:
    return data_dir / "state" / f"delta-{number}.log"


def ack_path(data_dir: Path, slot: int, pid: int) -> Path:
    return data_dir / "state" / f"ack-{slot}-{pid}"


def pack_state(sequence: int, tenants: list[Tenant], keys: list[Key]) -> bytes:
    return _pack(State(FORMAT, sequence, tenants, keys))


def pack_frame(delta: Delta) -> bytes:
    payload = _pack(delta)
    return FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def read_frames(data: bytes) -> Iterator[Delta]:
    """The deltas in ``data``; raises ``ValueError`` when a frame is damaged."""
    position = 0
    while position < len(data):
        if position + FRAME.size > len(data):
            raise ValueError("the delta log ends in mid-frame")
        length, checksum = FRAME.unpack_from(data, position)
        payload = data[position + FRAME.size : position + FRAME.size + length]
        if len(payload) != length or zlib.crc32(payload) != checksum:
            raise ValueError("a frame of the delta log is damaged")
        yield _delta_decoder.decode(payload)
        position += FRAME.size + length


def process_start(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 where the system does not say. Tells reused pids apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[19])
