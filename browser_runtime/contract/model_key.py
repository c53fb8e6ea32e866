"""The identity of an opened model: what was loaded, on which backend, how."""

from __future__ import annotations

from dataclasses import dataclass, replace

from browser_runtime.contract.vocabulary import Backend, Precision

# Characters of a revision that tell two versions of a model apart.
REVISION_CHARACTERS = 12
# No model's name, revision or flag holds it (vocabulary.MODEL_NAME).
SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class ModelKey:
    """A model as it is loaded; `backend` is None where any backend is meant."""

    name: str
    revision: str
    backend: Backend | None
    precision: Precision
    flags: tuple[str, ...] = ()
    """Options that change how it is opened, sorted."""

    def __str__(self) -> str:
        backend = "" if self.backend is None else str(self.backend)
        parts = (self.name, self.revision, backend, str(self.precision), "+".join(self.flags))
        return SEPARATOR.join(parts)

    @classmethod
    def of(
        cls,
        name: str,
        revision: str,
        backend: Backend | None,
        precision: Precision,
        flags: tuple[str, ...] = (),
    ) -> ModelKey:
        """The key with its revision cut short and its flags sorted."""
        return cls(name, revision[:REVISION_CHARACTERS], backend, precision, tuple(sorted(flags)))

    @classmethod
    def parse(cls, text: str) -> ModelKey:
        """The key that `str` wrote. Raises ValueError for anything else."""
        name, revision, backend, precision, flags = text.split(SEPARATOR)
        return cls(
            name,
            revision,
            Backend(backend) if backend else None,
            Precision(precision),
            tuple(flags.split("+")) if flags else (),
        )

    def on(self, backend: Backend) -> ModelKey:
        """The same model on that backend."""
        return replace(self, backend=backend)

    def anywhere(self) -> ModelKey:
        """The same model, whatever its backend."""
        return replace(self, backend=None)
