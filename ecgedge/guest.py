"""Run a module of ecgedge in an interpreter where ecgedge is not installed: ``PYTHON guest.py MODULE ARGUMENTS``.

An environment holds a plugin's libraries. ecgedge and the plugins are found where the parent has them, so that
both sides are of one version, and nothing else there is found: ``ECGEDGE_GUESTS`` says what lies where.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder


class Guests:
    """Finds top-level packages and modules, each in a folder of its own choice."""

    def __init__(self, places: Mapping[str, str]):
        self.places = places

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [self.places[name]]) if name in self.places else None


def main() -> None:
    sys.meta_path.insert(0, Guests(json.loads(os.environ["ECGEDGE_GUESTS"])["places"]))
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
