"""Importing keys that customers have."""

import hashlib

from gateway.tenants.key_file import parse_key_file

GOOD = "tenant,key,name,scopes\nacme, legacy-key-0000001,CI,read write\nglobex,legacy-key-0000002\n"


def test_rows() -> None:
    rows, faults = parse_key_file(GOOD, "keys.csv")
    assert faults == []
    assert [(row.line, row.tenant, row.name, row.scopes) for row in rows] == [
        (2, "acme", "CI", ("read", "write")),
        (3, "globex", "imported", ()),
    ]
    assert rows[0].hash == hashlib.sha256(b"legacy-key-0000001").digest()


def test_hashes() -> None:
    rows, faults = parse_key_file(f"hash,tenant\nsha256:{'ab' * 32},acme\n{'CD' * 32},acme\n", "keys.csv")
    assert faults == []
    assert [row.hash for row in rows] == [b"\xab" * 32, b"\xcd" * 32]


def test_all_faults_and_no_credential_in_them() -> None:
    keys = (",legacy-key-0000001", "acme,short", "acme,gk_live_mistyped-secret", *["acme,same-same-same-same"] * 2)
    text = "\n".join(("tenant,key", *keys))
    rows, faults = parse_key_file(text, "keys.csv")
    assert len(rows) == 1
    assert [str(fault) for fault in faults] == [
        "keys.csv:2: no tenant",
        "keys.csv:3: a credential is 16 to 256 printable characters",
        "keys.csv:4: the key is mistyped: its checksum does not match",
        "keys.csv:6: the same key as in line 5",
    ]


def test_the_heading() -> None:
    for text in ("", "key\nx\n", "tenant\nacme\n", "tenant,key,hash\n"):
        assert "must name the columns" in str(parse_key_file(text, "f")[1][0])
    assert "unknown column" in str(parse_key_file("tenant,key,nmae\n", "f")[1][0])
