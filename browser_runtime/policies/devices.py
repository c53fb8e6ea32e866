"""Steps after the loss of a compute device: a new device, then a new browser, then another backend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

# Losses further apart than this are separate troubles: a driver update, a laptop that slept.
FORGET_AFTER_S = 600.0


class DeviceStep(StrEnum):
    """Steps after a loss."""

    NONE = "none"
    NEW_DEVICE = "new device"
    RESTART_BROWSER = "restart browser"
    DEMOTE_BACKEND = "demote backend"


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """The losses of one browser's backend. It outlives sessions, for the second loss ends one.

    First loss: a new device and its models once more. Second: a new browser. Third: the backend is demoted,
    which lasts as long as the record, because each further try would cost a user's request.
    """

    losses_s: tuple[float, ...] = ()
    """Times of the losses that count."""
    is_demoted: bool = False

    def after_loss(self, now: float) -> DeviceRecord:
        """The record with one more loss at `now`."""
        recent = (*(at_s for at_s in self.losses_s if now - at_s <= FORGET_AFTER_S), now)
        return replace(self, losses_s=recent[-3:], is_demoted=self.is_demoted or len(recent) >= 3)

    @property
    def step(self) -> DeviceStep:
        """The step that the latest loss calls for."""
        if self.is_demoted:
            return DeviceStep.DEMOTE_BACKEND
        return (DeviceStep.NONE, DeviceStep.NEW_DEVICE, DeviceStep.RESTART_BROWSER)[len(self.losses_s)]
