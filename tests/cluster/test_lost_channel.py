"""Messages that are settled while their connection is lost, or twice."""

from __future__ import annotations

from typing import Any

import pytest
from celery.utils.log import get_logger
from kombu import Queue

from tasks import app
from tasks.keys import UNACKED
from tests.cluster.conftest import forget_messages, until
from workers.delivery.leases import delivery_tags
from workers.delivery.transport import safe_connection

QUEUE = "chrome-vision"


@pytest.fixture(autouse=True)
def no_message(pointed_app: None) -> None:
    """Each test counts messages: it begins with none, however the one before ended."""
    forget_messages()


@pytest.mark.parametrize("settle", ["ack", "requeue"])
def test_settling_on_a_lost_channel_ends_no_worker_and_loses_no_message(
    settle: str,
) -> None:
    buried: list[Any] = []
    connection = safe_connection(lambda why, **evidence: buried.append(why))(
        app.conf.broker_url, transport_options=app.conf.broker_transport_options
    )
    app.send_task("noop", queue=QUEUE)
    channel: Any = connection.channel()
    try:
        message = Queue(QUEUE, channel=channel).get()
        assert message is not None
        channel.connection = channel._pool = channel._async_pool = None  # as a closed channel has it
        getattr(message, settle)()
        assert delivery_tags(channel) == [], "renewed for ever, it would never come again"
    finally:
        connection.release()
    assert buried == []
    until(lambda: app.redis.hlen(UNACKED) + app.redis.llen(QUEUE) == 1)


@pytest.mark.parametrize("first", ["ack", "reject", "requeue"])
@pytest.mark.parametrize("second", ["ack_log_error", "reject_log_error"])
def test_a_message_is_settled_once_however_often_it_is_asked_for(first: str, second: str) -> None:
    """A task may end in a finisher's thread while Celery's revokes it: both settle its message."""
    connection = safe_connection(lambda why, **evidence: None)(
        app.conf.broker_url, transport_options=app.conf.broker_transport_options
    )
    app.send_task("noop", queue=QUEUE)
    channel: Any = connection.channel()
    try:
        message = Queue(QUEUE, channel=channel).get()
        assert message is not None
        getattr(message, first)()
        getattr(message, second)(get_logger(__name__), connection.connection_errors)
        assert app.redis.hlen(UNACKED) == 0
        assert app.redis.llen(QUEUE) == (1 if first == "requeue" else 0)
    finally:
        connection.release()
