"""Messages as files: ``data/mail/*.eml``. They stay there, or wait there to be sent; each appears whole."""

import asyncio
import os
import secrets
from collections.abc import Callable
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from gateway.accounts.mail import Mail
from gateway.clock import Clock
from gateway.period import from_us


class Outbox:
    """Writes each message into a folder that nobody else may read. ``sender`` is asked each time."""

    def __init__(self, folder: Path, clock: Clock, sender: Callable[[], str]) -> None:
        self._folder = folder
        self._clock = clock
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Return once the file is on the disk."""
        await asyncio.to_thread(self._write, mail)

    def _write(self, mail: Mail) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = self._clock.now()
        name = f"{from_us(now):%Y%m%dT%H%M%S}-{now % 1_000_000:06d}-{secrets.token_hex(4)}.eml"
        draft = self._folder / f".{name}"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, self._message(mail, now).as_bytes())
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.rename(self._folder / name)

    def _message(self, mail: Mail, now_us: int) -> EmailMessage:
        """RFC 5322. A header takes no line break: the address and the subject are checked by the library."""
        message = EmailMessage()
        user, _, domain = mail.to.rpartition("@")
        message["From"] = self._sender()
        message["To"] = Address(username=user, domain=domain)
        message["Subject"] = " ".join(mail.subject.split())  # names in it come from files too, with any line break
        message["Date"] = format_datetime(from_us(now_us))
        message["Message-ID"] = f"<{secrets.token_hex(16)}@gateway>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        return message
