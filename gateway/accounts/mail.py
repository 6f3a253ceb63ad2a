"""What is written to people, and the port through which it leaves."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """One message in plain text."""

    to: str
    subject: str
    text: str


class Mailer(Protocol):
    """Takes messages; one verb."""

    async def send(self, mail: Mail) -> None:
        """Return once the message is safe; its delivery may come later."""
        ...


def verify_mail(to: str, url: str) -> Mail:
    """To a new address."""
    return Mail(
        to,
        "Confirm your e-mail address",
        f"Open this link within a day to confirm your address:\n\n{url}\n\nIf you did not register, ignore this.\n",
    )


def known_mail(to: str, login_url: str) -> Mail:
    """To somebody who registers again."""
    return Mail(
        to,
        "You have an account already",
        "Somebody, perhaps you, tried to register with this address. It has an account already.\n\n"
        f"Log in, or ask for a new password: {login_url}\n",
    )


def reset_mail(to: str, url: str) -> Mail:
    """To somebody who forgot their password."""
    return Mail(
        to,
        "Choose a new password",
        f"Open this link within an hour to choose a new password:\n\n{url}\n\n"
        "If you did not ask for it, ignore this: your password stays as it is.\n",
    )


def invite_mail(to: str, organisation: str, role: str, url: str) -> Mail:
    """To somebody who may join."""
    return Mail(
        to,
        f"You are invited to {organisation}",
        f"You can join {organisation} as {role}. Open this link within a week:\n\n{url}\n",
    )
