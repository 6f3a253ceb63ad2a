"""Fixtures that every suite may use: services started by the tests, a recording upstream, a gateway process."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import support.compiled_modules  # noqa: F401  # first: it decides what all others import
from hypothesis import settings
from support.process import GatewayProcess
from support.services import PostgresServer, RedisServer, free_port, require_service, running_postgres, running_redis
from support.upstream import RecordingUpstream

from gateway.storage.migrate import migrate

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

SERVICE_FIXTURES = {
    "redis_server",
    "redis_url",
    "own_redis",
    "postgres_server",
    "postgres_url",
    "postgres_template",
    "chromium",
}
_database_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the quick checks leave out, by the fixtures it uses."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & SERVICE_FIXTURES:
            item.add_marker(pytest.mark.service)
        if "gateway_process" in used:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(name="free_port")
def free_port_fixture() -> Callable[[], int]:
    """``free_port()``: a port of 127.0.0.1 that is free."""
    return free_port


@pytest.fixture(name="require_service")
def require_service_fixture() -> Callable[[str], str]:
    """``require_service("redis-server")``: its path; skips without it, or fails with REQUIRE_SERVICES=1."""
    return require_service


@pytest.fixture
def chromium() -> str:
    """The path of Chromium."""
    return require_service("chromium")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One redis-server for the session, shared: use keys or databases of your own."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of the shared redis-server."""
    return redis_server.url


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server of the test's own, which it may freeze and stop, and which holds nothing yet."""
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL cluster for the session."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new empty database, dropped after the test."""
    name = f"test_{os.getpid()}_{next(_database_numbers)}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a migrated database to copy: migrating for each test would take most of the time."""
    url = postgres_server.create_database("template_of_the_store")
    asyncio.run(migrate(url, Path("/")))
    return "template_of_the_store"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty store of each engine, one after the other."""
    if request.param == "sqlite":
        yield "sqlite:///gateway.db"
        return
    template = request.getfixturevalue("postgres_template")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"test_{os.getpid()}_{next(_database_numbers)}"
    yield server.create_database(name, template)
    server.drop_database(name)


@pytest.fixture
def upstream() -> Iterator[RecordingUpstream]:
    """A small HTTP server that answers 200 and records what it receives."""
    server = RecordingUpstream()
    yield server
    server.close()


@pytest.fixture
def gateway_process(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], GatewayProcess]]:
    """``gateway_process(document)``: writes the configuration, runs ``gateway serve`` and waits until it is ready."""
    started: list[GatewayProcess] = []

    def start(document: dict[str, Any]) -> GatewayProcess:
        folder = tmp_path / f"gateway-{len(started)}"
        folder.mkdir()
        gateway = GatewayProcess(folder, document)
        started.append(gateway)
        gateway.start()
        return gateway

    yield start
    for gateway in started:
        if gateway.process is not None:
            gateway.stop()
