"""What changes between two configurations."""

from gateway.config.compile import compile_snapshot
from gateway.config.diff import diff, keep_until_restart, restart_needed


def test_nothing_changes(load_text, minimal: str) -> None:
    assert diff(load_text(minimal), load_text(minimal + "# a comment\n")) == []


def test_changes_in_peoples_words(load_text, minimal: str) -> None:
    old = load_text(minimal)
    new = load_text(
        minimal.replace("max: 10", "max: 20").replace("acme: {plan: free}", "globex: {plan: free}")
        + "headers: both\nbilling: {currency: EUR}\n"
    )
    assert diff(old, new) == [
        "headers ietf -> both",
        "billing: currency USD -> EUR",
        "plans.free.limits.calls: max 10 -> 20",
        "tenants.acme: removed",
        "tenants.globex: added",
    ]


def test_limits_and_keys_go_by_name(load_text, minimal: str) -> None:
    more = minimal.replace("limits: [", "limits: [{name: burst, max: 5, per: second}, ")
    assert diff(load_text(minimal), load_text(more)) == ["plans.free.limits.burst: added"]


def test_secrets_are_compared_not_told(load_text, minimal: str) -> None:
    old, new = (load_text(minimal + f"accounts: {{secret: {letter * 40}}}\n") for letter in "ab")
    assert diff(old, new) == ["accounts: secret changed"]


def test_what_needs_a_restart_is_named_and_kept(load_text, minimal: str) -> None:
    old = load_text(minimal)
    new = load_text(minimal + 'headers: both\ndata_dir: other\nserver: {workers: 2, listen: "127.0.0.1:1"}\n')
    assert restart_needed(old, new) == ["server.listen", "server.workers", "data_dir"]
    kept = compile_snapshot(keep_until_restart(old, new), new.folder, 2)
    assert (kept.headers, kept.data_dir, kept.server) == ("both", old.data_dir, old.server)
    assert new.source["data_dir"] == "other"
