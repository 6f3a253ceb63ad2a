"""Messages are whole private files; what a server takes is gone, what it refuses is set aside, the rest waits."""

import email
import email.policy
import socket
import stat
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from gateway.accounts.mail import Mail, invite_mail, reset_mail
from gateway.clock import ManualClock
from gateway.notifiers.outbox import Outbox
from gateway.notifiers.smtp import SmtpSender

NOW_US = 1_795_180_000_000_000


class Server:
    """What a mail server was given; ``answers`` by recipient."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:
        self.got.append(envelope.content)
        return "250 OK"


def outbox(folder: Path) -> Outbox:
    return Outbox(folder / "mail", ManualClock(NOW_US), lambda: "Example <api@example.com>")


async def test_a_message_is_a_private_file(tmp_path: Path) -> None:
    await outbox(tmp_path).send(reset_mail("ada@example.com", "http://gateway.example/reset?token=abc"))
    (path,) = (tmp_path / "mail").iterdir()
    assert path.suffix == ".eml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert (message["To"], message["From"]) == ("ada@example.com", "Example <api@example.com>")
    assert "reset?token=abc" in message.get_content()


async def test_nobody_adds_headers(tmp_path: Path) -> None:
    await outbox(tmp_path).send(Mail("ada@example.com", "Join Evil\r\nBcc: all@example.com", "text"))
    (path,) = (tmp_path / "mail").iterdir()
    assert email.message_from_bytes(path.read_bytes())["Bcc"] is None
    with pytest.raises(ValueError, match=r".*"):
        await outbox(tmp_path).send(Mail("ada@example.com\r\nBcc: all@example.com", "Hello", "text"))


@pytest.mark.parametrize("name", ["a\r\nb", "a\u2028b", "a\u2029b", "a\x85b", "a\x1cb"])
async def test_any_name_makes_one_subject(tmp_path: Path, name: str) -> None:
    await outbox(tmp_path).send(invite_mail("ada@example.com", name, "member", "http://gateway.example/invite"))
    (path,) = (tmp_path / "mail").iterdir()
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert message["Subject"] == "You are invited to a b"


async def test_sending(tmp_path: Path) -> None:
    server = Server()
    server.answers = {"no@example.com": "550 no such box", "later@example.com": "450 try later"}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        box, folder = outbox(tmp_path), tmp_path / "mail"
        for to in ("no@example.com", "yes@example.com", "later@example.com"):
            await box.send(Mail(to, "Hello", f"to {to}"))
        await SmtpSender(folder, lambda: f"smtp://127.0.0.1:{port}").run_once()
        assert len(server.got) == 1
        assert b"to yes@example.com" in server.got[0]
        assert len(list(folder.glob("*.eml"))) == 1
        assert len(list((folder / "failed").glob("*.eml"))) == 1
    finally:
        controller.stop()
    await SmtpSender(folder, lambda: f"smtp://127.0.0.1:{port}").run_once()  # nobody listens: it waits
    await SmtpSender(folder, lambda: None).run_once()
    assert len(list(folder.glob("*.eml"))) == 1
