"""``gateway users``: what it prints, and that its links work."""

import re

import pytest
import typer
from support.ui_world import CONFIG
from typer.testing import CliRunner

from gateway.cli.users import register


@pytest.fixture
def users(tmp_path):
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    app = typer.Typer()
    register(app)

    def run(*arguments):
        return CliRunner().invoke(app, ["users", *arguments, "-c", str(tmp_path / "gateway.yaml")])

    return run


LINK = r"http://127\.0\.0\.1:8081/login/link\?token=[\w-]{43}\n"


def test_create_prints_the_link_alone(users):
    result = users("create", "Ada@Example.com", "--role", "finance")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(LINK, result.stdout)
    assert "ada@example.com (finance)" in result.stderr


def test_a_tenants_person_needs_a_tenant_and_a_role_of_its_side(users):
    assert users("create", "o@example.com", "--tenant", "acme", "--role", "owner").exit_code == 0
    assert users("create", "p@example.com", "--tenant", "nobody", "--role", "owner").exit_code == 1
    assert users("create", "p@example.com", "--tenant", "acme", "--role", "finance").exit_code == 2
    assert users("create", "p@example.com", "--role", "owner").exit_code == 2
    assert users("create", "not an address", "--role", "admin").exit_code == 2


def test_the_same_address_twice_is_refused_and_says_what_to_do(users):
    users("create", "ada@example.com", "--role", "admin")
    again = users("create", "ADA@example.com", "--role", "admin")
    assert again.exit_code == 1
    assert "users reset" in again.stderr


def test_reset_gives_a_new_link_to_who_exists(users):
    assert users("reset", "ada@example.com").exit_code == 1
    first = users("create", "ada@example.com", "--role", "admin").stdout
    second = users("reset", "ada@example.com")
    assert re.fullmatch(LINK, second.stdout)
    assert second.stdout != first


def test_json(users):
    result = users("create", "ada@example.com", "--role", "admin", "--json")
    assert '"link": "http://' in result.stdout
