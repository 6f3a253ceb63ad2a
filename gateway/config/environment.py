"""``${NAME}`` and ``${NAME:-default}`` in configuration values; ``$${`` is a plain ``${``."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME_AND_DEFAULT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def substitute(text: str, environ: Mapping[str, str]) -> tuple[str, bool, list[str]]:
    """The text with its references filled in, whether there were any, and what is wrong with them.

    As in a shell, the default also stands in for a variable that is set but empty. A value is never looked at again,
    so that a variable can't refer to another.
    """
    if "${" not in text:
        return text, False, []
    problems: list[str] = []
    found = False

    def fill(match: re.Match[str]) -> str:
        nonlocal found
        if match[0] == "$${":
            return "${"
        found = True
        parts = _NAME_AND_DEFAULT.fullmatch(match[1]) if match[2] else None
        if parts is None:
            problems.append("malformed reference; write ${NAME} or ${NAME:-default}")
            return ""
        name, default = parts[1], parts[2]
        value = environ.get(name, "")
        if value == "" and default is not None:
            return default
        if name not in environ:
            problems.append(f"the environment variable {name} is not set, and there is no default")
        return value

    return _REFERENCE.sub(fill, text), found, problems
