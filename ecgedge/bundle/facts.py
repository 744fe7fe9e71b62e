"""What is known of a bundled file beside its own record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecgedge.bundle.vectors import Portable


@dataclass(frozen=True)
class Facts:
    """What the model's own record does not say.

    Attributes:
        name: of the bundle.
        source: the file that was bundled.
        normalize: whether ``predict.py`` z-normalises each beat.
        weights: the card of the trained weights it was made from, where they are known; else empty.
        told: what its user said of it, a sentence each.
        measured: what a run found of it, a sentence each; empty: it is of no run.
        bundled: who made the bundle and computed the expected outputs, and on what.
        code: what code of its own the file runs when it is loaded, as ``Runtime.code_in`` says it; empty: none.
        requirements: of ``framework.py``, as pip takes them.
        portability: the certificate of the file, which was held to its answers; None: there is none.
    """

    name: str
    source: str
    normalize: bool = False
    weights: str = ""
    told: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    bundled: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    requirements: tuple[str, ...] = ()
    portability: Portable | None = None
