"""Which tensor of its source a tensor of a file was made from, as whoever made the file tells; kept beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ecgedge.files import strict_json

MOST_BYTES = 16_000_000


def origins_file(path: Path) -> Path:
    """Where that lies, of what is at ``path``: beside it, so that what ships stays as it is."""
    return path.with_name(f"{path.name}.origins.json")


def write_origins(out: Path, origins: Mapping[str, str]) -> None:
    """Leave beside what a conversion writes at ``out`` which tensors of the source its tensors were made from.

    ``ecgedge diverge`` matches tensors by that, where what they hold agrees; nothing else depends on it.

    Args:
        origins: names in the source, by the name in what was made: of a tensor, or of the layer that makes it, where
            the converters to come put that into the names of tensors (``model/relu_1/Relu``). Names that stay are left
            out.
    """
    origins_file(out).write_text(json.dumps(dict(origins), indent=0), encoding="utf-8")


def read_origins(path: Path) -> dict[str, str]:
    """What ``write_origins`` left beside a file that ecgedge made; empty where that is nothing that can be read."""
    try:
        told = strict_json.read(origins_file(path), most=MOST_BYTES)
    except (OSError, strict_json.JsonError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {name: origin for name, origin in told.items() if isinstance(origin, str)}
