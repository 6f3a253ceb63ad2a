"""What an account, key or tenant cannot be made or changed into, with a stable code for programs."""

from gateway.errors import GatewayError


class AccountError(GatewayError):
    """An account cannot be made or changed so; the message says why and is fit to be shown."""

    code = "invalid"


class Refused(AccountError):
    """The same with its own ``code``; ``field`` names what was wrong with the input, if that is it."""

    def __init__(self, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.field = field


def managed_by_config(what: str, where: str) -> Refused:
    """SEMANTICS §32: the YAML owns it; ``where`` is its file."""
    return Refused("managed_by_config", f"{what} is managed by the configuration: change it in {where}")


def not_there(what: str) -> Refused:
    """There is none, or it is somebody else's: the two are not told apart."""
    return Refused("not_found", f"There is no such {what}.")
