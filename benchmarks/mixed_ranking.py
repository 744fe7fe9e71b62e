"""Does ``mixed`` find as good a set in less time, if it ranks layers by the local errors of ``ecgedge diverge``?

``python benchmarks/mixed_ranking.py FOLDER [--model NAME]... [--loud N]... [--seed N]``

FOLDER holds, or gets, the float32 ONNX file of each model. One or several channels of it are made loud: the weights of
a convolution's output by 400, those of the next one's input by 1/400, which changes nothing in float and costs int8
most of what it has. ``onnx-mixed`` then searches twice: as it does, by what quantizing each layer alone does to the
outputs, and by the errors that the operations of the full int8 file have alone (``local``; one study). A line a search:
the layers left in float, the files that were built, CPU seconds, and what is lost on training and on test beats.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import ecgedge
from ecgedge import Classification, Context
from ecgedge.api import tasks
from ecgedge.builtin import onnx_mixed
from ecgedge.builtin.mixed import Mixed, Trial, search_mixed
from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime
from ecgedge.data import drawing, finding
from ecgedge.diverge.study import study

LOUD = 400.0
BETWEEN = ("Relu", "MaxPool")  # that a factor goes through


def make_loud(path: Path, out: Path, count: int, seed: int) -> list[str]:
    """Write a copy in which a channel between two convolutions is loud, at up to ``count`` places; name the second."""
    model, rng = onnx.load(path), np.random.default_rng(seed)
    held = {each.name: each for each in model.graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    pairs = []
    for first in (node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in held):
        name = first.output[0]
        while len(readers.get(name, ())) == 1 and readers[name][0].op_type in BETWEEN:
            name = readers[name][0].output[0]
        after = readers.get(name, [])
        if len(after) == 1 and after[0].op_type == "Conv" and after[0].input[1] in held:
            pairs.append((first, after[0]))
    chosen = [pairs[at] for at in rng.permutation(len(pairs))[:count]]
    for first, second in chosen:
        channel = int(rng.integers(held[first.input[1]].dims[0]))

        def change(name: str, place: Any, factor: float) -> None:
            array = numpy_helper.to_array(held[name]).copy()
            array[place] *= factor
            held[name].CopyFrom(numpy_helper.from_array(array, name))

        for name in first.input[1:]:
            change(name, channel, LOUD)
        change(second.input[1], (slice(None), channel), 1 / LOUD)
    onnx.save(model, out)
    return [second.name for _, second in chosen]


class Local:
    """A search that ranks by the local errors of the full int8 file: it is given these where it asks for damage."""

    def __init__(self, source: Path, tried: Path, x: np.ndarray):
        self.source, self.tried, self.x = source, tried, x

    def __call__(self, layers: Sequence[str], outputs: Any, trial: Trial, max_drop: float) -> Mixed:
        ranking, errors = self, dict[str, float]()

        class Ranked(Trial):
            def __init__(self) -> None:
                self.__dict__ = trial.__dict__

            def damage(self, found: Any) -> float:
                return errors.get(found, 0.0)

        def asked(left: tuple[str, ...]) -> Any:
            missing = [name for name in layers if name not in left]
            if len(missing) == 1:  # which layer alone is in int8
                if not errors:
                    outputs(())
                    errors.update(ranking.errors(layers))
                return missing[0]
            return outputs(left)

        return search_mixed(layers, asked, Ranked(), max_drop)

    def errors(self, layers: Sequence[str]) -> dict[str, float]:
        """The local error of each layer relative to its signal."""
        form, reference = (tapped(path) for path in (self.tried, self.source))
        found = study(form, reference, self.x)
        form.close()
        reference.close()
        return {name: 10 ** (-line.local_snr / 10) for line in found.lines for name in (line.operation, *line.others)
                if name in layers}  # fmt: skip


def tapped(path: Path) -> Any:
    runtime = OnnxRuntime("cpu", "CPUExecutionProvider")
    return runtime.taps(runtime.inspect(path), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--loud", type=int, action="append", help="channels; default: 1 and 2")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    data, _ = finding.load(None)
    rng = np.random.default_rng(0)
    calibration = data.train.x[rng.permutation(len(data.train))[:400]]
    few = data.test.x[drawing.stratified(data.test.y, 16, 0)]
    for model in asked.model or ("base-cnn", "tcn", "vgg"):
        plain = asked.folder / f"{model}-none.onnx"
        if not plain.exists():
            ecgedge.convert(model, "onnx", plain)
        for count in asked.loud or (1, 2):
            with tempfile.TemporaryDirectory() as scratch:
                loud, out = Path(scratch) / "loud.onnx", Path(scratch) / "mixed.onnx"
                at = make_loud(plain, loud, count, asked.seed)
                source = OnnxRuntime("cpu", "CPUExecutionProvider").inspect(loud)
                source = replace(source, task=Classification(data.labels, "logits"))
                context = Context(beats=calibration, labelled=(data.train.x, data.train.y))
                right = accuracy(onnx_mixed.answers(source, loud, data.test.x), data, source)
                for name, search in (("outputs", search_mixed),
                                     ("local", Local(loud, Path(scratch) / "tried.onnx", few))):  # fmt: skip
                    built = search_counted(search)
                    start = process_time()
                    made = onnx_mixed.OnnxMixed().quantize(source, out, context)
                    spent = process_time() - start
                    lost = right - accuracy(onnx_mixed.answers(source, out, data.test.x), data, source)
                    loss = made.notes["loss"]
                    print(json.dumps({
                        "model": model, "loud": at, "ranked by": name, "left": made.notes["left"], "built": built[0],
                        "cpu_seconds": round(spent, 1),
                        "int8 loses": round(100 * (loss["fp32"] - loss["full_int8"]), 2),
                        "lost": round(100 * (loss["fp32"] - loss["mixed"]), 2), "lost on test beats": round(lost, 2),
                    }), flush=True)  # fmt: skip


def search_counted(search: Any) -> list[int]:
    """Have ``onnx-mixed`` search so; the list that is returned holds how many files were built."""
    count = [0]

    def counted(layers: Sequence[str], outputs: Any, trial: Trial, max_drop: float) -> Mixed:
        def built(left: tuple[str, ...]) -> np.ndarray:
            count[0] += 1
            made: np.ndarray = outputs(left)
            return made

        found: Mixed = search(layers, built, trial, max_drop)
        return found

    vars(onnx_mixed)["search_mixed"] = counted
    return count


def accuracy(outputs: np.ndarray, data: Any, source: Any) -> float:
    return 100 * float(tasks.evaluate(outputs, data.test.x, data.test.y, source.task)["accuracy"])


if __name__ == "__main__":
    main()
