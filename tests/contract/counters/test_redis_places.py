"""The ways to reach a Redis: with a password, over TLS, and a cluster whose nodes share the tenants."""

import contextlib
import subprocess
from pathlib import Path

import pytest
import redis
from support.redis_counters import PlainRedisStore
from support.services import accepts, free_port, require_service, stop_process, wait_until

from gateway.clock import SystemClock
from gateway.ids import uuid7

NOW = SystemClock().now


@contextlib.contextmanager
def server(folder: Path, port: int, *options: str, listens_on: int = 0):
    folder.mkdir(exist_ok=True)
    command = [require_service("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir"]
    process = subprocess.Popen([*command, str(folder), "--logfile", str(folder / "log"), *options])
    try:
        wait_until(lambda: accepts(listens_on or port), "redis-server's start")
        yield
    finally:
        stop_process(process)


def takes_exactly(url: str, tmp_path: Path, bindings: list) -> None:
    """Each binding, a limit of five of a tenant of its own, passes five of eight calls and shows it."""
    tenants = [binding._tenant.id for binding in bindings]
    store = PlainRedisStore(url, "w1", NOW, tmp_path / "unseeded", tenants=tenants)
    try:
        for binding in bindings:
            reservation = binding.reservation(NOW(), {"calls": 1})
            calls = [uuid7(NOW()) for _ in range(8)]
            decisions = [store.reserve_now(call, reservation) for call in calls]
            assert [decision.admitted for decision in decisions] == [True] * 5 + [False] * 3
            store.release_now(calls[0], decisions[0].at_us, reservation)
            assert store.read(binding.counters(NOW()))[0].remaining == 1
        assert store.desk.is_seeded(tenants) == [True] * len(tenants)
        assert store.desk.sweep("w1") == 4 * len(tenants)
    finally:
        store.close()


def test_password(tmp_path, limit_of, bind_to):
    port = free_port()
    with server(tmp_path / "r", port, "--requirepass", "a b:c"):
        takes_exactly(f"redis://:a%20b%3Ac@127.0.0.1:{port}/4", tmp_path, [bind_to([limit_of("calendar", 5)])])


def test_tls(tmp_path, limit_of, bind_to):
    port, cert, key = free_port(), tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    options = ["--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    options += ["--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no"]
    with server(tmp_path / "r", 0, *options, listens_on=port):
        takes_exactly(f"rediss://127.0.0.1:{port}/0?ca={cert}", tmp_path, [bind_to([limit_of("sliding", 5)])])


def test_cluster(tmp_path, limit_of, bind_to):
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        for port in ports:
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
            stack.enter_context(server(tmp_path / str(port), port, *options))
        nodes = [redis.Redis(port=port) for port in ports]
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192 * number, 8192 * number + 8191)
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        bus = nodes[1].execute_command("CONFIG", "GET", "cluster-port")
        bus_port = int(next(iter(bus.values())) if isinstance(bus, dict) else bus[1])
        nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1], bus_port)
        for node in nodes:
            wait_until(lambda node=node: "cluster_state:ok" in _info(node), "the cluster's agreement")
        bindings = [bind_to([limit_of("calendar", 5)], tenant=f"t{number}") for number in range(6)]
        takes_exactly(f"redis://127.0.0.1:{ports[0]}", tmp_path, bindings)
        held = [len([key for key in node.scan_iter() if b"{t" in key]) for node in nodes]
        assert all(held), held  # both nodes have tenants
        for node in nodes:
            node.close()


def _info(node: redis.Redis) -> str:
    found = node.execute_command("CLUSTER", "INFO")
    return found.decode() if isinstance(found, bytes) else "\n".join(f"{name}:{value}" for name, value in found.items())
