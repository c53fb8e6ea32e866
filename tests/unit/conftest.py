"""Hypothesis by no clock: a test machine that is busy elsewhere is no failure of the code."""

from hypothesis import HealthCheck, settings

settings.register_profile("webinfer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("webinfer")
