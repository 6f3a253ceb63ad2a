"""No query without a scope: every repository method takes one, and every query in it goes through it (DESIGN §5)."""

import ast
import inspect
from pathlib import Path

import pytest

from gateway.storage.audit import Audit
from gateway.storage.billing import Billing
from gateway.storage.changes import Changes
from gateway.storage.events import Events
from gateway.storage.invitations import Invitations
from gateway.storage.kept_answers import KeptAnswers
from gateway.storage.keys import Keys
from gateway.storage.leases import Leases
from gateway.storage.ledger import Ledger
from gateway.storage.people import People
from gateway.storage.plans import Plans
from gateway.storage.ports import Scope
from gateway.storage.store import Store
from gateway.storage.tenants import Tenants
from gateway.storage.tokens import Tokens

REPOSITORIES = (
    Tenants, Keys, Changes, People, Audit, Ledger, Billing, Tokens, Invitations, KeptAnswers, Events, Leases, Plans,
)  # fmt: skip

# The shipper's own: a batch holds all tenants, and each row carries its tenant.
UNSCOPED = {"post", "skip", "close"}

GUARDS = {"within", "platform_only", "must_own", "conditions", "matching"}
STORAGE = Path(inspect.getfile(Store)).parent


def public_methods(repository: type) -> list[tuple[str, object]]:
    return [
        (name, member)
        for name, member in inspect.getmembers(repository, inspect.isfunction)
        if not name.startswith("_") and name not in UNSCOPED
    ]


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_every_method_takes_a_scope_first(repository: type) -> None:
    methods = public_methods(repository)
    assert methods
    for name, member in methods:
        parameters = list(inspect.signature(member).parameters.values())  # type: ignore[arg-type]
        assert parameters[1].name == "scope", f"{repository.__name__}.{name}"
        assert parameters[1].annotation is Scope, f"{repository.__name__}.{name}"
        assert parameters[1].default is inspect.Parameter.empty, f"{repository.__name__}.{name}"


def test_the_store_has_no_other_repository(tmp_path: Path) -> None:
    tree = ast.parse((STORAGE / "store.py").read_text())
    made = {
        node.value.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
        if any(isinstance(target, ast.Attribute) for target in node.targets)
    }
    assert made == {repository.__name__ for repository in REPOSITORIES}


def calls_in(node: ast.AST) -> set[str]:
    names = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            names.add(one.func.attr if isinstance(one.func, ast.Attribute) else getattr(one.func, "id", ""))
    return names


def test_every_public_method_uses_its_scope() -> None:
    """Each guards its queries itself, or hands its scope on to what does."""
    for path in sorted(set(STORAGE.glob("*.py")) - {STORAGE / "ports.py"}):
        for owner in ast.parse(path.read_text()).body:
            if not isinstance(owner, ast.ClassDef):
                continue
            for method in owner.body:
                if not isinstance(method, ast.AsyncFunctionDef) or "scope" not in {a.arg for a in method.args.args}:
                    continue
                passed_on = any(
                    isinstance(one, ast.Call)
                    and any(isinstance(given, ast.Name) and given.id == "scope" for given in one.args)
                    for one in ast.walk(method)
                )
                assert passed_on, f"{path.name}: {owner.name}.{method.name} never uses its scope"


# Functions that build queries for a method that has checked its scope already, or inside a writer's transaction.
INNER = {
    "_newest": "plans are the platform's; both callers are platform only",
    "_known": "identities of events hold no tenant's data; Events.post is platform only",
    "_aggregate": "takes the caller's conditions, scope among them",
    "advance": "heads hold no tenant's data",
    "append_changes": "the writer's own rows",
    "_head": "heads hold no tenant's data",
    "insert_audit": "the writer's own row",
    "_sync_tenants": "Tenants.sync_yaml is platform only",
    "_sync_keys": "Tenants.sync_yaml is platform only",
    "_update": "Tenants.sync_yaml is platform only",
    "_revoke": "sessions are the platform's; both callers are platform only",
    "_user": "takes the caller's conditions, scope among them",
    "rounded": "takes the caller's scope as a condition",
    "_sum_rows": "for each tenant that _tenants found within the scope",
    "_stored": "for each tenant that _tenants found within the scope",
    "revision_of": "the schema's version",
    "_watermark": "hosts and heads hold no tenant's data",
    "_versions": "the catalog is the platform's, its prices no secret",
    "publish": "the catalog is the platform's",
    "_open": "a condition on rows that the caller's conditions choose",
    "_digest": "updates a hash, no table",
    "_count": "prunable is platform only",
    "_old_calls": "a tenant's rows; pruning is platform only",
    "_keep_calls": "the rows that prune took",
    "_add_rows": "for each tenant that _tenants found within the scope",
    "table_of": "the pieces of periods, no table of the store",
    "_add": "billing_usage hands the scope on as a condition",
    "add": "each row is checked against the scope",
    "_statement": "the text that Events.post runs, which is platform only",
}


def test_no_query_is_built_without_a_scope() -> None:
    unguarded = []
    for path in sorted(STORAGE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name in INNER:
                continue
            called = calls_in(node)
            builds = {"select", "update", "delete", "insert"} & called
            if builds and not called & GUARDS:
                unguarded.append(f"{path.name}:{node.lineno} {node.name}")
    assert unguarded == []
