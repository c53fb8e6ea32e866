"""The port where a worker's metrics are read: the first free one from the one that is set."""

from __future__ import annotations

import threading
from wsgiref.simple_server import WSGIServer

from celery.utils.log import get_logger
from prometheus_client import CollectorRegistry, start_http_server

from workers.settings import MetricsSettings

log = get_logger(__name__)

# Workers of one host that may share one setting.
N_PORTS = 64
STOP_TIMEOUT_S = 5.0


class Exposition:
    """An HTTP server for one registry, on a thread of its own."""

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        self._server, self._thread = server, thread
        self.address = f"http://{server.server_address[0]!s}:{server.server_port}/metrics"

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_TIMEOUT_S)


def expose(registry: CollectorRegistry, settings: MetricsSettings) -> Exposition | None:
    """A server on the first free port; None where none is wanted or to be had, which ends no worker."""
    first = settings.metrics_port
    for port in range(first, min(first + N_PORTS, 65536)) if first else ():
        try:
            exposition = Exposition(*start_http_server(port, settings.metrics_address, registry))
        except OSError as error:
            log.debug("metrics port unavailable: port=%s error=%s", port, error)
            continue
        log.info("metrics served: address=%s", exposition.address)
        return exposition
    if first:
        log.error("metrics not served: no free port from %s to %s", first, min(first + N_PORTS, 65536) - 1)
    return None
