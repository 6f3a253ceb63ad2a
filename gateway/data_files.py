"""Where the files that are not Python lie: beside the package in a checkout, in ``gateway/_data`` of a wheel."""

from functools import cache
from pathlib import Path

from gateway.errors import GatewayError

_PACKAGE = Path(__file__).resolve().parent


@cache
def data_root() -> Path:
    """The folder that holds ``templates/``, ``static/``, ``config/``, ``plugins/`` and ``gateway.yaml``.

    A wheel's own copy wins, so that an installed gateway never reads a stranger's ``templates/`` in site-packages.
    Raises ``GatewayError`` when neither place has them, which means a broken installation.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if (root / "templates" / "base.html").is_file():
            return root
    raise GatewayError(f"templates are missing beside {_PACKAGE}: install the gateway again")
