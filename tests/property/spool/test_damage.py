"""Torn tails, flipped bits and lost pages: what is whole is read, what is not is told."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.metering.ports import Frame, Position
from gateway.spool.appender import Appender
from gateway.spool.cursor import Damage
from gateway.spool.reader import SpoolReader
from gateway.spool.segment import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    Header,
    align,
    find_frame,
    pack_frame,
    parse_run,
    seed_of,
    unpack_header,
)

HOST = bytes(16)
SEGMENT = 1 << 14
NAME = "a-0-x"
unhurried = settings(deadline=None, max_examples=100)

payloads = st.lists(
    st.one_of(st.binary(min_size=1, max_size=600), st.builds(lambda size: bytes(size), st.integers(1, 400))),
    min_size=1,
    max_size=60,
)


def write(root: Path, entries: list[bytes]) -> list[Path]:
    folder = root / NAME
    folder.mkdir()
    appender = Appender(folder, HOST, SEGMENT)
    for entry in entries:
        appender.append(entry)
    appender.detach()
    return sorted(folder.glob("*.seg"))


def read_all(root: Path, start: int = 0) -> tuple[list[Frame], list[Damage]]:
    reader, position, frames = SpoolReader(root), Position(NAME, start), []
    while got := reader.read(position, 7):
        frames += got
        position = got[-1].position
    damage = reader.take_damage()
    reader.close()
    return frames, damage


def in_directory(test: Callable[[Path], None]) -> None:
    with TemporaryDirectory() as name:
        test(Path(name))


@unhurried
@given(payloads, st.data())
def test_whatever_is_written_is_read_from_anywhere(entries: list[bytes], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(entries)))

    def test(root: Path) -> None:
        write(root, entries)
        frames, damage = read_all(root, start)
        assert [frame.payload for frame in frames] == entries[start:]
        assert [frame.position.sequence for frame in frames] == list(range(start + 1, len(entries) + 1))
        assert damage == []

    in_directory(test)


@unhurried
@given(payloads, st.data())
def test_a_flipped_bit_costs_one_entry_at_most(entries: list[bytes], data: st.DataObject) -> None:
    def test(root: Path) -> None:
        segments = write(root, entries)
        path = data.draw(st.sampled_from(segments))
        content = bytearray(path.read_bytes())
        used = len(content.rstrip(b"\0"))
        place = data.draw(st.integers(0, used - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        frames, damage = read_all(root)
        lost = [frame.position.sequence for frame in frames if not frame.payload]
        assert len(lost) <= 1
        assert [sequence for found in damage for sequence in range(found.first, found.last + 1)] == lost
        for frame in frames:
            if frame.payload:
                assert frame.payload == entries[frame.position.sequence - 1]
        # At the live tail a bad frame is "not yet": then it is the last one.
        assert len(frames) >= len(entries) - 1
        assert all(found.file is None or found.file.exists() for found in damage)

    in_directory(test)


@unhurried
@given(payloads, st.data())
def test_a_lost_page_costs_what_was_on_it(entries: list[bytes], data: st.DataObject) -> None:
    def test(root: Path) -> None:
        segments = write(root, entries)
        path = data.draw(st.sampled_from(segments))
        page = data.draw(st.integers(0, SEGMENT // 512 - 1)) * 512
        with path.open("r+b") as file:
            file.seek(page)
            file.write(bytes(512))
        frames, _ = read_all(root)
        assert [frame.position.sequence for frame in frames] == list(range(1, len(frames) + 1))
        for frame in frames:
            assert frame.payload in (b"", entries[frame.position.sequence - 1])

    in_directory(test)


@unhurried
@given(payloads, st.data())
def test_a_torn_tail_is_not_yet_and_is_written_over(entries: list[bytes], data: st.DataObject) -> None:
    def test(root: Path) -> None:
        segments = write(root, entries)
        last = segments[-1]
        content = last.read_bytes()
        cut = data.draw(st.integers(HEADER_SIZE, len(content.rstrip(b"\0"))))
        last.write_bytes(content[:cut] + bytes(len(content) - cut))
        before, damage = read_all(root)
        assert [frame.payload for frame in before] == entries[: len(before)]
        assert damage == []
        reader = SpoolReader(root)
        tail = reader.tail(NAME)
        reader.close()
        assert tail.sequence == len(before)
        appender = Appender(root / NAME, HOST, SEGMENT, tail, preallocated=False)
        for number in range(3):
            assert appender.append(b"new" * number + b"!") == len(before) + number + 1
        appender.close()
        after, damage = read_all(root)
        assert [frame.payload for frame in after] == [*entries[: len(before)], b"!", b"new!", b"newnew!"]
        assert damage == []

    in_directory(test)


@unhurried
@given(st.integers(0, 2**32 - 1), st.integers(1, 2**60), st.binary(min_size=1, max_size=MAX_PAYLOAD))
def test_a_frame_reads_back(seed: int, sequence: int, payload: bytes) -> None:
    frame = pack_frame(seed, sequence, payload)
    assert parse_run(frame, 0, seed, sequence, 9, 1 << 20) == ([(sequence, payload)], align(len(frame)))
    assert parse_run(frame, 0, seed ^ 1, sequence, 9, 1 << 20) == ([], 0)
    assert parse_run(frame, 0, seed, sequence + 1, 9, 1 << 20) == ([], 0)
    assert find_frame(b"garbage!" * 5 + frame, 0, seed, sequence - 1 or 1) == (40, sequence)


@unhurried
@given(st.binary(max_size=4000), st.integers(0, 2**32 - 1))
def test_noise_is_never_a_frame(noise: bytes, seed: int) -> None:
    assert parse_run(noise, 0, seed, 1, 9, 1 << 20)[0] == []
    assert unpack_header(noise) is None


@unhurried
@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**64 - 1), st.integers(0, 65535))
def test_a_header_reads_back(host: bytes, first: int, version: int) -> None:
    assert unpack_header(Header(host, first, version).pack()) == Header(host, first, version)


def test_a_payload_shaped_like_a_frame_is_none(tmp_path: Path) -> None:
    """A caller chooses the path; it must not be able to write frames through it."""
    guess = b"".join(pack_frame(seed, 3, b"forged").ljust(32, b"\0") for seed in (0, 1, seed_of("other", 1)))
    segments = write(tmp_path, [b"first", b"x" * 8 + guess, b"third", b"fourth"])
    content = bytearray(segments[0].read_bytes())
    content[content.index(b"xxxxxxxx")] ^= 1
    segments[0].write_bytes(content)
    frames, damage = read_all(tmp_path)
    assert [frame.payload for frame in frames] == [b"first", b"", b"third", b"fourth"]
    assert [(found.first, found.last) for found in damage] == [(2, 2)]
    assert damage[0].file is not None
    assert b"forged" in damage[0].file.read_bytes()
