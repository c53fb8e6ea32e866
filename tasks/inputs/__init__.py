"""Inputs of users, checked and made into the plain values that a `Request` carries."""

from tasks.inputs.normalise import Plain, normalise

__all__ = ["Plain", "normalise"]
