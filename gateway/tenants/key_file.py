"""Keys that customers bring along: a CSV file with a heading of ``tenant``, ``key`` or ``hash``, ``name``, ``scopes``.

``key`` is the credential itself and is hashed at once; ``hash`` is ``sha256:`` and 64 hex digits, for those who kept
no credentials. Scopes are separated by spaces. The messages never repeat a credential.
"""

import csv
import io
import re
from dataclasses import dataclass

from gateway.errors import Fault
from gateway.tenants.credentials import Refusal, classify, hint_of

COLUMNS = ("tenant", "key", "hash", "name", "scopes")


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """One row, ready to be stored."""

    line: int
    tenant: str
    hash: bytes
    hint: str
    name: str
    scopes: tuple[str, ...]


def parse_key_file(text: str, file: str) -> tuple[list[ImportedKey], list[Fault]]:
    """The rows that are right, and a fault for each that is not."""
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True, restkey="", restval="")
    heading = [name.strip() for name in reader.fieldnames or ()]
    if "tenant" not in heading or ("key" in heading) == ("hash" in heading):
        return [], [Fault(file, 1, "", "the first line must name the columns: tenant, and either key or hash")]
    unknown = [name for name in heading if name not in COLUMNS]
    if unknown:
        return [], [Fault(file, 1, unknown[0], f"unknown column; known are {', '.join(COLUMNS)}")]
    reader.fieldnames = heading
    rows: list[ImportedKey] = []
    faults: list[Fault] = []
    seen: dict[bytes, int] = {}
    for row in reader:
        line = reader.line_num
        found = _row(row, line)
        if isinstance(found, str):
            faults.append(Fault(file, line, "", found))
        elif found.hash in seen:
            faults.append(Fault(file, line, "", f"the same key as in line {seen[found.hash]}"))
        else:
            seen[found.hash] = line
            rows.append(found)
    return rows, faults


def _row(row: dict[str, str], line: int) -> ImportedKey | str:
    tenant = row["tenant"].strip()
    if not tenant:
        return "no tenant"
    if "hash" in row:
        match = re.fullmatch(r"(?:sha256:)?([0-9a-fA-F]{64})", row["hash"].strip(), re.ASCII)
        if match is None:
            return 'the hash must be "sha256:" and 64 hex digits'
        digest, hint = bytes.fromhex(match[1]), "…"
    else:
        credential = row["key"].strip().encode()
        classified = classify(credential)
        if isinstance(classified, Refusal):
            return classified.value
        digest, hint = classified, hint_of(credential)
    scopes = tuple(row.get("scopes", "").split())
    return ImportedKey(line, tenant, digest, hint, row.get("name", "").strip() or "imported", scopes)
