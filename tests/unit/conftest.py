"""Hypothesis without a deadline: a test machine that is busy elsewhere is no failure of the code."""

from hypothesis import settings

settings.register_profile("webinfer", deadline=None)
settings.load_profile("webinfer")
