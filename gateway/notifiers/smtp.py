"""Sending what waits in the outbox by SMTP, oldest first; what a server refuses for good is set aside in ``failed``."""

import asyncio
import email
import email.policy
import logging
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib

logger = logging.getLogger(__name__)

TIMEOUT_S = 20
FAILED = "failed"


class SmtpSender:
    """``smtp://[user:password@]host[:port]`` (STARTTLS where the server offers it) or ``smtps://`` (TLS at once).

    A message's file goes when the server has taken it. One that was taken just before a crash may go out twice.
    """

    def __init__(self, folder: Path, url: Callable[[], str | None]) -> None:
        self._folder = folder
        self._url = url

    async def run_once(self) -> None:
        """Send what waits; a server that does not answer leaves everything for the next time."""
        url = self._url()
        waiting = sorted(self._folder.glob("[!.]*.eml")) if url else []
        if not url or not waiting:
            return
        try:
            async with _client(url) as client:
                for path in waiting:
                    await self._send(client, path)
        except (aiosmtplib.SMTPException, OSError) as error:
            logger.warning("mail waits", extra={"messages": len(waiting), "reason": str(error)[:200]})

    async def _send(self, client: aiosmtplib.SMTP, path: Path) -> None:
        message = await asyncio.to_thread(_load, path)
        try:
            await client.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            await self._refused(path, [one.code for one in error.recipients], str(error))
        except aiosmtplib.SMTPResponseException as error:
            await self._refused(path, [error.code], error.message)
        else:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _refused(self, path: Path, codes: list[int], reason: str) -> None:
        """RFC 5321 §4.2.1: 5xx is for good, 4xx for now."""
        if any(code < 500 for code in codes):
            logger.warning("mail put off by the server", extra={"message_file": path.name, "reason": reason[:200]})
            return
        await asyncio.to_thread(_set_aside, path)
        logger.error("mail refused by the server", extra={"message_file": path.name, "reason": reason[:200]})


def _load(path: Path) -> Message:
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP)


def _set_aside(path: Path) -> None:
    aside = path.parent / FAILED
    aside.mkdir(exist_ok=True, mode=0o700)
    path.rename(aside / path.name)


def _client(url: str) -> aiosmtplib.SMTP:
    parts = urlsplit(url)
    at_once = parts.scheme == "smtps"
    return aiosmtplib.SMTP(
        hostname=parts.hostname or "localhost",
        port=parts.port or (465 if at_once else 587 if parts.username else 25),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        use_tls=at_once,
        timeout=TIMEOUT_S,
    )
