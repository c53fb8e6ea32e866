"""Delivery by Apprise to a real HTTP server, and what is never told of a URL."""

from __future__ import annotations

import email
import email.policy
import logging
import socket
import threading
from collections.abc import Iterator

import pytest

from browser_runtime.contract.errors import BadSetting
from scheduler.alerts.targets import parse_targets, redact, usable_targets
from tests.unit.alerts.conftest import Receiver

# Apprise tries for a module that Python 3.13 removes.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")


@pytest.fixture
def root_log() -> Iterator[list[str]]:
    """What reaches the root logger, and so a log file; caplog listens at silenced loggers too."""
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield told
    logging.getLogger().removeHandler(handler)


def test_a_notice_arrives(receiver: Receiver) -> None:
    (target,) = parse_targets(receiver.url())
    assert target.send("title", "the body, <b>as it is</b>", "opened").taken
    (posted,) = receiver.posted
    assert (posted["title"], posted["message"], posted["type"]) == (
        "title",
        "the body, <b>as it is</b>",
        "failure",
    )


def test_a_refusal_is_told_without_the_token(receiver: Receiver) -> None:
    receiver.status = 500
    (target,) = parse_targets(receiver.url("hook/s3cret-token"))
    receipt = target.send("title", "body", "closed")
    assert not receipt.taken
    assert "error=500" in receipt.why
    assert "s3cret-token" not in f"{receipt} {target!r}"


def test_a_receiver_that_is_away_is_a_refusal(receiver: Receiver) -> None:
    receiver.shutdown()
    receiver.server_close()
    (target,) = parse_targets(receiver.url())
    assert not target.send("title", "body", "test").taken


def test_several_urls_are_several_targets_and_commas_inside_stay() -> None:
    targets = parse_targets("json://host-a/x?to=a,b, jsons://host-b/y,xml://host-c,")
    assert [target.name for target in targets] == ["json #1", "jsons #2", "xml #3"]
    assert len({target.id for target in targets}) == 3
    assert parse_targets("  ") == []


def test_a_url_that_is_none_is_refused_by_place_without_its_text() -> None:
    with pytest.raises(BadSetting) as refused:
        parse_targets("json://host-a, nosuch://user:s3cret@host")
    assert "WEBINFER_ALERT_URLS is nosuch://... in place 2, but must be" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_every_part_that_could_be_a_token_is_hidden() -> None:
    url = "slack://TokenA12/TokenB34?key=abcd"
    assert redact("POST TokenA12/TokenB34 with abcd failed", url) == "POST ***/*** with *** failed"


def test_one_bad_url_does_not_silence_the_others(root_log: list[str]) -> None:
    (target,) = usable_targets("nosuch://s3cret@host, json://host-a")
    assert target.name == "json #2"
    (told,) = root_log
    assert "in place 1" in told
    assert "s3cret" not in told


class MailServer(threading.Thread):
    """Takes one mail by SMTP, and keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def run(self) -> None:
        line, _ = self._listening.accept()
        with self._listening, line, line.makefile("rwb", buffering=0) as stream:
            stream.write(b"220 here\r\n")
            in_mail = False
            for raw in stream:
                text = raw.decode().rstrip("\r\n")
                if in_mail:
                    self.lines.append(text)
                    in_mail = text != "."
                    answer = b"" if in_mail else b"250 taken\r\n"
                else:
                    in_mail = text.upper() == "DATA"
                    answer = (
                        b"354 go on\r\n"
                        if in_mail
                        else b"221 bye\r\n"
                        if text.upper() == "QUIT"
                        else b"250 yes\r\n"
                    )
                stream.write(answer)
                if text.upper() == "QUIT":
                    return


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("", "<img src=http://evil.example/x> & more"),
        ("&format=html", "&lt;img src=http://evil.example/x&gt; &amp; more"),
    ],
)
def test_in_a_mail_a_name_is_no_markup_and_no_header(form: str, body: str) -> None:
    server = MailServer()
    server.start()
    url = f"mailto://127.0.0.1:{server.port}?from=a@example.org&to=b@example.org&mode=insecure{form}"
    (target,) = parse_targets(url)
    receipt = target.send(
        "model <b>x</b>\nBcc: c@example.org", "<img src=http://evil.example/x> & more", "opened"
    )
    assert receipt.taken, receipt.why
    server.join()
    mail = email.message_from_string("\n".join(server.lines), policy=email.policy.default)
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert body in parts["text/html" if form else "text/plain"].replace("&nbsp;", " ")
    assert "<img" not in parts.get("text/html", "")
    assert mail["Bcc"] is None
