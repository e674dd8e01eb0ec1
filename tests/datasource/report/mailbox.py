"""A real mail server on loopback: it keeps what it takes, and can fail at any step of a mail.

`python -m tests.datasource.report.mailbox PORT FOLDER` runs one as a process of its own, which can be
killed: each mail that it takes is a file in the folder.
"""

import asyncio
import sys
import time
from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller, UnthreadedController
from aiosmtpd.smtp import SMTP


class Mailbox:
    """What a mail server does with each step; tests replace the answers, or have a step break off.

    `answers`: by step (`mail`, `rcpt`, `data`, `end`) what it says in place of 250. `breaks`: the
    steps at which it hangs up without a word, once each. `seconds`: how long it thinks before it
    says that it took a mail. `taken`: the mails that it took.
    """

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.breaks: list[str] = []
        self.seconds = 0.0
        self.taken: list[EmailMessage] = []
        self.to: list[str] = []

    def per_address(self) -> Counter[str]:
        return Counter(self.to)

    def _step(self, name: str, server: SMTP) -> str | None:
        if name in self.breaks:
            self.breaks.remove(name)
            assert server.transport
            server.transport.abort()
            return "421 nobody hears this"
        return self.answers.get(name)

    async def handle_MAIL(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if said := self._step("mail", server):
            return said
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if said := self._step("rcpt", server) or self.answers.get(address):
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if said := self._step("data", server):
            return said
        self.keep(envelope)
        await asyncio.sleep(self.seconds)
        return self._step("end", server) or "250 OK"

    def keep(self, envelope: Any) -> None:
        [address] = envelope.rcpt_tos
        self.to.append(address)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.taken.append(mail)


class Running(Controller):
    """A mailbox that listens on a port of its own choice, in a thread."""

    def __init__(self, box: Mailbox, **options: Any) -> None:
        super().__init__(box, hostname="127.0.0.1", port=0, **options)

    def _trigger_server(self) -> None:
        """Look at the port that was given, where aiosmtpd would look at the one asked for."""
        assert self.server
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class _Files(Mailbox):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def keep(self, envelope: Any) -> None:
        [address] = envelope.rcpt_tos
        (self._folder / f"{time.time_ns()} {address}").write_bytes(envelope.content)


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server = UnthreadedController(_Files(folder), hostname="127.0.0.1", port=port, loop=loop)
    server.begin()
    loop.run_forever()


if __name__ == "__main__":
    main()
