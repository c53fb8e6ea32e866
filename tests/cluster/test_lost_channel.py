"""A message whose connection was lost while its task ran in a thread comes again, or is known to be done."""

from __future__ import annotations

from typing import Any

import pytest
from kombu import Queue

from tasks import app
from tasks.keys import UNACKED, UNACKED_INDEX
from tests.cluster.conftest import until
from workers.delivery.leases import delivery_tags
from workers.delivery.transport import safe_connection

QUEUE = "chrome-vision"


@pytest.mark.parametrize("settle", ["ack", "requeue"])
def test_settling_on_a_lost_channel_ends_no_worker_and_loses_no_message(
    pointed_app: None, settle: str
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
    app.control.purge()
    app.redis.delete(UNACKED, UNACKED_INDEX)
