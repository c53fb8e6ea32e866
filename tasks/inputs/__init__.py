"""What a user may pass as `inputs`, made into the plain values a `Request` carries."""

from tasks.inputs.normalise import Plain, normalise

__all__ = ["Plain", "normalise"]
