"""Which forms of the built-in models answer alike elsewhere? The table of docs/portability.md.

    python benchmarks/portability.py --out /tmp/forms [--device NAME] [--model tcn] [--beats 200]

Each form is converted into the folder, where it is not there yet, and `ecgedge portability` is asked of it. Its answer
goes to NAME.json beside the file, and a row of Markdown for every way that was tried to the terminal.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from ecgedge import EcgEdgeError, convert, portability

MODELS = ("cnn-ae", "base-cnn", "tcn", "vgg", "inception")
FORMS = (("onnx", "full-int8"), ("tflite", "full-int8"), ("onnx", "dynamic"), ("tflite", "dynamic"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the files")
    parser.add_argument("--device", action="append", default=[], help="a board; may be given again")
    parser.add_argument("--model", action="append", choices=MODELS, help="may be given again; default: all")
    parser.add_argument("--precision", choices=("full-int8", "dynamic"), help="default: both")
    parser.add_argument("--beats", type=int, default=200, help="for emulators and the integer model")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    print("| file | kernels | on | beats | equal values | largest | steps | decisions | verdict |")
    print("|---|---|---|---|---|---|---|---|---|")
    for format, precision in (form for form in FORMS if asked.precision in (None, form[1])):
        for model in asked.model or MODELS:
            file = asked.out / f"{model}-{precision}.{format}"
            try:
                row(file, model, format, precision, asked.device, asked.beats)
            except EcgEdgeError as error:
                print(f"| {file.name} | {error.message} | | | | | | | |", flush=True)


def row(file: Path, model: str, format: str, precision: str, devices: list[str], beats: int) -> None:
    """Convert a form, try it everywhere, and print what was found."""
    if not file.exists():
        convert(model, to=format, quantizer=precision, out=file)
    began = time.monotonic()
    found = portability(file, devices=devices, beats=beats)
    took, certificate = time.monotonic() - began, found.certificate
    file.with_suffix(file.suffix + ".json").write_text(json.dumps(found.record(), indent=1), encoding="utf-8")
    for i, each in enumerate(certificate.tried):
        figures = f"{each.equal:.2%} | {each.largest:.3g} | {'' if each.steps is None else f'{each.steps:.0f}'}"
        verdict = f"{certificate.verdict}, {took:.0f} s" if not i else ""
        name = file.name if not i else ""
        line = f"| {name} | {each.family} | {each.place} | {each.beats:,} | {figures} | {len(each.flips)} | {verdict} |"
        print(line, flush=True)
    for missed in certificate.not_tried:
        print(f"  not tried: {missed.what}: {missed.why}", flush=True)


if __name__ == "__main__":
    main()
