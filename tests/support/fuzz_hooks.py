"""Schemathesis' hooks. Three of four path parameters become ids that exist (``FUZZ_IDS``, JSON by name); the tenant is
``FUZZ_TENANT``, or with an empty one mostly not named."""

import json
import os
import zlib
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

IDS: dict[str, list[str]] = json.loads(os.environ.get("FUZZ_IDS", "{}"))
TENANT = os.environ.get("FUZZ_TENANT", "")
ENDING = ("suspendTenant", "closeTenant", "reopenTenant", "changeTenant")


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    """What was generated wrong on purpose stays. Chosen by what was generated, so that a failure can be repeated."""
    wrong = {where for where, how in case.meta.components.items() if how.mode == GenerationMode.NEGATIVE}
    if case.path_parameters and ParameterLocation.PATH not in wrong:
        for name, value in case.path_parameters.items():
            spare = name == "tenant" and case.operation.definition.raw.get("operationId") in ENDING
            known = IDS.get(f"spare_{name}" if spare else name, [])
            choice = zlib.crc32(repr(value).encode("utf-8", "replace"))
            if known and choice % 4:
                case.path_parameters[name] = known[choice // 4 % len(known)]
    if case.headers and ParameterLocation.HEADER not in wrong:
        given = case.headers.pop("X-Tenant-Id", None)
        if TENANT:
            case.headers["X-Tenant-Id"] = TENANT
        elif given is not None and len(str(given)) % 8 == 0:
            case.headers["X-Tenant-Id"] = given
    key = str((case.headers or {}).get("Idempotency-Key", ""))
    if key != key.strip():  # RFC 9110 §5.5: spaces around a value are not part of it, those inside are
        case.headers["Idempotency-Key"] = "of two words"
    return case
