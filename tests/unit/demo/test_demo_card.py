"""The card and what stands behind it: ports, the visitor's URL, files that are kept."""

import socket
import stat
from pathlib import Path

import pytest

from gateway.config.snapshot import Address
from gateway.demo.card import Card, render
from gateway.demo.home import DemoHome
from gateway.demo.overrides import BadUpstream, free_pair, split_upstream
from gateway.errors import GatewayError

CARD = Card(
    tenant="Initech",
    key="gk_live_free",
    url="http://127.0.0.1:8080/v1/weather?city=Oslo",
    limit=" with 10 calls a minute",
    try_calls=12,
    portal="http://127.0.0.1:8081/login/link?token=" + "p" * 43,
    admin="http://127.0.0.1:8081/login/link?token=" + "a" * 43,
    others=(("Acme", "gk_live_acme"), ("Globex", "gk_live_globex")),
    plans="config/plans.yaml",
)


def test_keys_urls_and_commands_stand_alone_on_their_lines() -> None:
    lines = render(CARD).splitlines()
    for value in (CARD.key, CARD.portal, CARD.admin, "gk_live_acme", "gk_live_globex"):
        assert value in lines
    commands = [line for line in lines if line.startswith("curl ")]
    assert len(commands) == 3
    assert CARD.key in commands[0]
    assert "gk_" not in commands[1]
    assert "#[1-12]" in commands[2]


def test_the_free_key_and_the_first_curl_come_first() -> None:
    text = render(CARD)
    assert text.index("gk_") == text.index(CARD.key)
    first_url_line = next(line for line in text.splitlines() if "http://" in line)
    assert first_url_line == f'curl -i -H "X-API-Key: {CARD.key}" "{CARD.url}"'


def test_the_card_fits_one_screen() -> None:
    assert len(render(CARD).splitlines()) <= 24


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://localhost:3000", ("http://localhost:3000", "/")),
        ("http://localhost:3000/api", ("http://localhost:3000", "/api")),
        ("https://api.example.com", ("https://api.example.com", "/")),
        ("http://[::1]:3000/", ("http://[::1]:3000", "/")),
    ],
)
def test_a_visitors_url_is_taken_apart(url: str, parts: tuple[str, str]) -> None:
    assert split_upstream(url) == parts


@pytest.mark.parametrize(
    "url", ["localhost:3000", "ftp://x", "http://", "http://u:p@h", "http://h:99999", "", "http://["]
)
def test_a_bad_url_is_refused_and_named(url: str) -> None:
    with pytest.raises(BadUpstream, match="--upstream"):
        split_upstream(url)


def test_a_taken_port_moves_the_pair() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        data, control = free_pair(Address("127.0.0.1", port), Address("127.0.0.1", port + 1))
    assert data.port > port
    assert control.port == data.port + 1
    assert (data.port - port) % 2 == 0


def test_what_is_kept_is_private_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    home = DemoHome(tmp_path, tmp_path / "gateway.yaml", "config/plans.yaml")
    assert home.read("credentials.json") is None
    home.write("credentials.json", {"keys": []})
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    assert home.read("credentials.json") == {"keys": []}
    (tmp_path / "credentials.json").write_text("{")
    with pytest.raises(GatewayError, match="clean-demo"):
        home.read("credentials.json")
