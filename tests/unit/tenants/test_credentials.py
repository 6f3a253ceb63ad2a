"""Keys as text."""

import base64
import hashlib
import re
import string

import pytest

from gateway.ids import parse_id, uuid7_time_us
from gateway.tenants.credentials import ALPHABET, MintedKey, Refusal, classify, hint_of, mint

NOW_US = 1_700_000_000_123_000


@pytest.fixture
def minted() -> MintedKey:
    return mint(NOW_US)


def test_form(minted: MintedKey) -> None:
    assert re.fullmatch(r"gk_live_[0-9A-Za-z]{11}_[0-9A-Za-z]{33}", minted.text)
    assert uuid7_time_us(parse_id("key", minted.id)) == NOW_US
    assert minted.hash == hashlib.sha256(minted.text.encode()).digest()


def test_neither_repr_nor_hint_tells_the_secret(minted: MintedKey) -> None:
    secret = minted.text.rpartition("_")[2]
    assert secret not in repr(minted)
    assert secret not in minted.hint
    assert minted.text.startswith(minted.hint.removesuffix("…"))


def test_a_minted_key_is_looked_up_by_its_digest(minted: MintedKey) -> None:
    assert classify(minted.text.encode()) == minted.hash


def test_every_single_typo_is_refused(minted: MintedKey) -> None:
    text = minted.text.encode()
    for position in range(len("gk_live_"), len(text)):
        for letter in (b"0", b"z", b"-"):
            typo = text[:position] + letter + text[position + 1 :]
            assert typo == text or classify(typo) is Refusal.TYPO


def test_swapped_neighbours_and_cuts_are_refused(minted: MintedKey) -> None:
    text = minted.text
    for position in range(8, len(text) - 1):
        swapped = text[:position] + text[position + 1] + text[position] + text[position + 2 :]
        assert swapped == text or classify(swapped.encode()) is Refusal.TYPO
    for end in range(16, len(text)):
        assert classify(text[:end].encode()) is Refusal.TYPO
    assert classify(text.encode() + b"a") is Refusal.TYPO


def test_secrets_are_all_different_and_use_the_whole_alphabet() -> None:
    keys = {mint(NOW_US).text for _ in range(500)}
    assert len(keys) == 500
    letters = set("".join(key.rpartition("_")[2] for key in keys))
    assert letters == set(ALPHABET) == set(string.ascii_letters + string.digits)


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (b"", Refusal.MALFORMED),
        (b"a" * 15, Refusal.MALFORMED),
        (b"a" * 257, Refusal.MALFORMED),
        (b"with a space inside it", Refusal.MALFORMED),
        (b"control\x00character-here", Refusal.MALFORMED),
        ("schlüssel-mit-umlaut".encode(), Refusal.MALFORMED),
        (b"trailing-newline-here\n", Refusal.MALFORMED),
        (b"gk_test_abcdefghijklmnop", Refusal.RESERVED),
        (b"gk_live_", Refusal.TYPO),
    ],
)
def test_what_is_never_looked_up(credential: bytes, expected: Refusal) -> None:
    assert classify(credential) is expected


@pytest.mark.parametrize("credential", [b"a" * 16, b"a" * 256, b"gk_other_abcdefghijkl", base64.b64encode(b"x" * 30)])
def test_customers_own_keys_are_looked_up(credential: bytes) -> None:
    assert classify(credential) == hashlib.sha256(credential).digest()


def test_a_short_key_of_others_shows_nothing() -> None:
    assert hint_of(b"a" * 16) == "…"
    assert hint_of(b"abcd" + b"x" * 20) == "abcd…"
