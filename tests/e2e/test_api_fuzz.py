"""Schemathesis over the OpenAPI document: no 5xx, no undocumented status, no answer beside its schema.

``PROVE=1`` asks long, by every kind of caller, over both stores; by default a few requests to each operation.
"""

import asyncio
import itertools
import json
import os
import re
import sys
from pathlib import Path

import pytest
from support.api_furniture import Lenient, furnish
from support.api_world import ApiWorld, open_api

from gateway.api.admission import Admission

PROVE = os.environ.get("PROVE") == "1"
SUPPORT = Path(__file__).parents[1] / "support"
CALLERS = ("owner@acme", "admin", "support", "member@acme", "key", "nobody") if PROVE else ("owner@acme",)
HOW = (
    ("--phases", "coverage,fuzzing", "-n", os.environ.get("FUZZ", "8")) if PROVE else ("--phases", "fuzzing", "-n", "2")
)
LAST = ("logout", "cancelSubscription")
"""What would leave the others nothing to do is asked at the end."""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,ignored_auth"
)


async def fuzz(world: ApiWorld, caller: str, ids: dict[str, list[str]], *more: str) -> tuple[int, str]:
    """One run of schemathesis as this caller; returns its exit code and what it said."""
    credential = ids["secret"][0] if caller == "key" else "" if caller == "nobody" else await world.session(caller)
    headers = ["-H", f"Authorization: Bearer {credential}"] if credential else []
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", str(world.client.make_url("/api/v1/openapi.json")),
        "--url", str(world.client.make_url("/api/v1")), *headers, "--checks", CHECKS, "--continue-on-failure",
        "--seed", "7",
        "--request-timeout", "60", "--generation-database", "none", "--suppress-health-check", "all",
        "--no-color", *more,
    ]  # fmt: skip
    path = f"{SUPPORT.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "support.fuzz_hooks", "FUZZ_IDS": json.dumps(ids), "PYTHONPATH": path,
        "FUZZ_TENANT": "acme" if caller in ("admin", "support") else "",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        cwd=world.config.parent,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace")


@pytest.mark.slow
@pytest.mark.timeout(3600 if PROVE else 180)
async def test_schemathesis_finds_nothing(tmp_path: Path, store_url: str) -> None:
    if not PROVE and not store_url.startswith("sqlite"):
        pytest.skip("PROVE=1 asks both stores")
    admission = Admission(burst=10**9, per_second=10**6)
    async with open_api(tmp_path, store_url=store_url, admission=admission, throttle=Lenient()) as world:
        ids = await furnish(world)
        runs = [("--exclude-operation-id", name) for name in LAST], [("--include-operation-id", name) for name in LAST]
        for caller in CALLERS:
            asked = 0
            for chosen in runs if PROVE else runs[:1]:
                code, said = await fuzz(world, caller, ids, *HOW, *itertools.chain(*chosen))
                assert code == 0, said[-8000:]
                asked += int(re.findall(r"(\d+) generated", said)[-1])
            print(f"proof: {store_url.partition(':')[0]}, {caller}: {asked} requests, nothing found")
