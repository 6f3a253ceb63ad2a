"""``gateway keys`` and ``gateway check`` as people type them, on a real store."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from gateway.cli import check, keys
from gateway.runtime.state_feed import StatePublisher
from gateway.tenants.credentials import classify

YAML = """\
upstreams: {a: {targets: ["http://127.0.0.1:1"]}}
routes: {r: {match: {paths: [/]}, upstream: a}}
plans: {free: {limits: [{name: calls, max: 10, per: minute}]}}
tenants:
  acme: {plan: free, keys: [{id: k1, hash: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}]}
  globex: {plan: free}
"""


class Terminal:
    """Runs commands with the configuration of a folder."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "gateway.yaml"
        self.config.write_text(YAML)
        self._app = typer.Typer()
        keys.register(self._app)
        check.register(self._app)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(self._app, [*words, "-c", str(self.config)])

    def rows(self) -> dict[str, dict[str, str]]:
        listed = json.loads(self.run("keys", "list", "--json").stdout)["data"]
        return {row["id"]: row for row in listed}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_create_prints_the_key_alone(terminal: Terminal) -> None:
    result = terminal.run("keys", "create", "acme", "--name", "CI", "--expires", "90d", "--scopes", "read,write")
    assert result.exit_code == 0
    text = result.stdout.removesuffix("\n")
    assert isinstance(classify(text.encode()), bytes)
    assert text not in result.stderr
    row = next(row for row in terminal.rows().values() if row["name"] == "CI")
    assert (row["tenant"], row["scopes"], row["status"], row["source"]) == ("acme", "read write", "active", "store")
    assert text.startswith(row["key"].removesuffix("…"))


def test_yaml_lines_are_valid_and_store_nothing(terminal: Terminal) -> None:
    result = terminal.run("keys", "create", "globex", "--yaml", "--name", 'the "best" key', "--expires", "2040-01-31")
    line = result.stdout.strip()
    terminal.config.write_text(
        YAML.replace("globex: {plan: free}", f"globex:\n    plan: free\n    keys:\n      {line}")
    )
    assert terminal.run("check").exit_code == 0
    row = next(row for row in terminal.rows().values() if row["tenant"] == "globex")
    assert (row["name"], row["expires"], row["source"]) == ('the "best" key', "2040-01-31T00:00:00Z", "configuration")
    text = result.stderr.split()[-1]
    assert classify(text.encode()).hex() in line  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("create", "nope"), 1, "there is no tenant nope; the configuration has acme, globex"),
        (("create", "acme", "--expires", "yesterday"), 2, "--expires: expected a date or a duration"),
        (("create", "acme", "--expires", "2001-01-01"), 2, "--expires is in the past"),
        (("create", "acme", "--scopes", "a b/c"), 2, '--scopes: "b/c" is no scope'),
        (("revoke", "nope"), 1, "there is no key nope"),
        (("revoke", "k1"), 1, "key k1 is managed by the configuration"),
        (("rotate", "k1"), 1, "key k1 is managed by the configuration"),
        (("list", "nope"), 1, "there is no tenant nope"),
        (("import", "/nope.csv"), 2, "cannot read /nope.csv"),
    ],
)
def test_refusals(terminal: Terminal, words: tuple[str, ...], code: int, message: str) -> None:
    result = terminal.run("keys", *words)
    told = result.stderr + str(result.exception)  # the main command prints the error and exits 1
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in told


def test_rotate_and_revoke(terminal: Terminal) -> None:
    first = json.loads(terminal.run("keys", "create", "acme", "--name", "app", "--json").stdout)
    second = json.loads(terminal.run("keys", "rotate", first["id"], "--json").stdout)
    assert second["key"] != first["key"]
    assert {id: row["status"] for id, row in terminal.rows().items()} == {
        first["id"]: "revoked",
        second["id"]: "active",
        "k1": "active",
    }
    assert json.loads(terminal.run("keys", "revoke", second["id"], "--json").stdout) == {"revoked": second["id"]}
    assert terminal.rows()[second["id"]]["status"] == "revoked"
    assert terminal.run("keys", "rotate", second["id"]).exit_code == 1


def test_import_is_all_or_nothing_and_repeatable(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "keys.csv"
    file.write_text("tenant,key\nacme,legacy-key-0000001\nglobex,short\n")
    assert terminal.run("keys", "import", str(file)).exit_code == 1
    assert set(terminal.rows()) == {"k1"}
    file.write_text("tenant,key\nacme,legacy-key-0000001\nglobex,legacy-key-0000002\n")
    assert json.loads(terminal.run("keys", "import", str(file), "--json").stdout) == {"imported": 2, "already": 0}
    assert json.loads(terminal.run("keys", "import", str(file), "--json").stdout) == {"imported": 0, "already": 2}
    file.write_text("tenant,key\nglobex,legacy-key-0000001\n")
    result = terminal.run("keys", "import", str(file))
    assert "belongs to tenant acme" in str(result.exception)


def test_check_compares_with_what_runs(terminal: Terminal, tmp_path: Path) -> None:
    from gateway.config.loader import load

    assert "nothing to compare with" in terminal.run("check").stderr
    StatePublisher(tmp_path / "data").publish_config(load(terminal.config, {}))
    assert "changes nothing" in terminal.run("check").stderr
    terminal.config.write_text(YAML.replace("max: 10", "max: 20") + "server: {workers: 2}\n")
    result = terminal.run("check", "--json")
    assert json.loads(result.stdout) == {
        "valid": True,
        "faults": [],
        "moves": [],
        "changes": ["server: workers 1 -> 2", "plans.free.limits.calls: max 10 -> 20"],
        "restart": ["server.workers"],
        "warnings": [],
    }


def test_check_tells_every_fault_and_exits_2(terminal: Terminal) -> None:
    terminal.config.write_text(YAML.replace("max: 10", "mx: 10").replace("globex: {plan: free}", "globex: {plan: fre}"))
    result = terminal.run("check")
    assert result.exit_code == 2
    assert [line.partition("yaml:")[2] for line in result.stdout.splitlines()] == [
        '3: plans.free.limits[0].mx: unknown field; did you mean "max"?',
        '6: tenants.globex.plan: no plan "fre"; did you mean "free"?',
    ]
    assert json.loads(terminal.run("check", "--json").stdout)["valid"] is False
