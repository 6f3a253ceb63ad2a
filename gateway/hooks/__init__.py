"""Hooks: the phases of a call, what a stage sees and may answer, and how stages are registered.

A plugin is one Python file with ``def register(registry: Registry) -> None``, named under ``plugins`` in the
configuration. Core features register through the same registry (``gateway.proxy.stages``).
"""

from gateway.hooks.events import Admit, Authenticate, HeaderChanges, Measure, Record, Refusal, RequestHook, ResponseHook
from gateway.hooks.registry import Phase, Registry, Stage

__all__ = [
    "Admit",
    "Authenticate",
    "HeaderChanges",
    "Measure",
    "Phase",
    "Record",
    "Refusal",
    "Registry",
    "RequestHook",
    "ResponseHook",
    "Stage",
]
