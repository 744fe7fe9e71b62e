"""The process of one door: ``python -m tests.fuzz.inside DOOR OPTION...``, with the options of libFuzzer."""

from __future__ import annotations

import sys

import atheris

OURS = ["ecgedge", "safetensors", "json", "tests.mutation"]  # what is instrumented: their coverage guides


def main() -> None:
    with atheris.instrument_imports(include=OURS):
        from tests.fuzz.run import CORPUS
        from tests.fuzz.targets import TARGETS

        door = sys.argv.pop(1)
        for file in (CORPUS / door).iterdir():  # what a door imports when it is used first is instrumented, too
            TARGETS[door](file.read_bytes())
    atheris.Setup(sys.argv, TARGETS[door])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
