"""Acts on the events of sessions: warms new ones, answers lost devices, tells the pool's observers."""

from __future__ import annotations

import structlog

from browser_runtime.contract.errors import DeviceLost, SessionLost
from browser_runtime.contract.events import PoolObserver
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.link.protocol import PageEvent
from browser_runtime.policies.devices import DeviceStep
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.pool.maintenance.autoscaler import PoolAutoscaler
from browser_runtime.session.observer import SessionObserver
from browser_runtime.session.session import Session

log = structlog.get_logger(__name__)


class SessionEvents(SessionObserver[Session]):
    """The observer of a fleet's sessions."""

    def __init__(
        self, fleet: Fleet, health: PoolHealth, autoscaler: PoolAutoscaler, observer: PoolObserver
    ) -> None:
        self._fleet, self._health, self._autoscaler, self._observer = fleet, health, autoscaler, observer

    async def started(self, session: Session) -> None:
        """See `SessionObserver`."""
        self._health.of(session)
        for backend in self._health.demoted(session.installation.browser):
            session.demote(backend, "left after its device was lost again and again")
        session.observer = self._observer
        self._observer.connected(session.changed("opened"))
        if self._fleet.sessions:  # while others serve, it may take the time to come up warm
            await self._autoscaler.warm(session)

    def rejoined(self, session: Session, reason: str) -> None:
        """See `SessionObserver`."""
        self._health.dropped(session)
        self._observer.connected(session.changed("reconnected", reason))

    def reported(self, session: Session, event: PageEvent) -> None:
        """A lost device is renewed once, then its browser, then its backend is left."""
        if event.name != "device-lost":
            return
        backend = Backend(event.backend)
        step = self._health.lost_device(session.installation.browser, backend)
        log.warning("device lost", session=session.name, backend=str(backend), step=str(step))
        if step is DeviceStep.DEMOTE_BACKEND:
            for each in self._fleet.sessions:
                each.demote(backend, f"left after its device was lost again: {event.text}")
                reason = f"{backend}: {each.capabilities.reason(backend)}"
                self._observer.connected(each.changed("demoted", reason))
        elif step is DeviceStep.RESTART_BROWSER:
            self._fleet.lose(session, DeviceLost(session.name, event.text))

    def ended(self, session: Session, error: SessionLost | None) -> None:
        """See `SessionObserver`."""
        self._health.forget(session)
        self._observer.connected(session.changed("closed" if error is None else "died", str(error or "")))
