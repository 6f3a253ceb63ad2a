"""The services that other suites lean on start, answer and stop."""

import subprocess
import urllib.request

import pytest
from support.services import PostgresServer, RedisServer, accepts, find_program, require_service
from support.upstream import Answer, RecordingUpstream


def test_redis_starts_again_on_the_same_port(redis_server: RedisServer) -> None:
    redis_server.stop()
    assert not accepts(redis_server.port)
    redis_server.start()
    assert accepts(redis_server.port)


def test_each_test_gets_an_empty_database(postgres_url: str, postgres_server: PostgresServer) -> None:
    program = postgres_server.bin / "psql"
    count = subprocess.run(
        [str(program), "-XAt", postgres_url, "-c", "select count(*) from pg_stat_user_tables"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert count.stdout == "0\n"


def test_a_missing_service_skips_or_fails_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("REQUIRE_SERVICES", raising=False)
    assert find_program("redis-server") is None
    with pytest.raises(pytest.skip.Exception):
        require_service("redis-server")
    monkeypatch.setenv("REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception):
        require_service("redis-server")


def test_the_upstream_records_what_it_receives(upstream: RecordingUpstream) -> None:
    upstream.answer = lambda received: Answer(status=201, body=received.body[::-1])
    request = urllib.request.Request(f"{upstream.url}/a//b?c=%20", data=b"abc", headers={"X-One": "1"})
    with urllib.request.urlopen(request) as response:
        assert (response.status, response.read()) == (201, b"cba")
    (received,) = upstream.received
    assert (received.method, received.target, received.header("x-one")) == ("POST", "/a//b?c=%20", "1")
