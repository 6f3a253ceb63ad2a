"""Loads plugins by path. A plugin that cannot be loaded stops the start, and the message names its file and line."""

import importlib.util
import sys
import traceback
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

from gateway.errors import GatewayError
from gateway.hooks.registry import Registry


class PluginError(GatewayError):
    """A plugin file is missing, broken, or lacks ``register``."""

    def __init__(self, path: Path, message: str, line: int = 0) -> None:
        super().__init__(f"plugin {path}{f':{line}' if line else ''}: {message}")
        self.path = path
        self.line = line


def load_plugins(paths: Iterable[Path], registry: Registry | None = None) -> Registry:
    """Run each file's ``register(registry)`` in order; raises ``PluginError``."""
    registry = registry if registry is not None else Registry()
    for path in paths:
        module = _import(path)
        register = getattr(module, "register", None)
        if not callable(register):
            raise PluginError(path, "has no function register(registry)")
        try:
            register(registry)
        except Exception as error:
            raise PluginError(path, f"register failed: {error}", _line(error, path)) from error
    return registry


def _import(path: Path) -> ModuleType:
    name = f"gateway_plugin_{path.stem}_{blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(path, "no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(path, f"{type(error).__name__}: {error}", _line(error, path)) from error
    return module


def _line(error: Exception, path: Path) -> int:
    """The line of ``path`` that failed; 0 when none of its lines was running."""
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    lines = [frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else 0
