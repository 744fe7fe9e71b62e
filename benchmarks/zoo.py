"""The zoo of small networks through the plain tools and through ``ecgedge convert``: which come out right?

    python benchmarks/zoo.py --out zoo-run            # all of it: some hours
    python benchmarks/zoo.py --out zoo-run --only lstm,gelu --sources ts-fixed --precisions fp32
    python benchmarks/zoo.py --out zoo-run --table benchmarks/zoo.md

Each network of ``tests/full/zoo.py`` is trained for some steps, exported (``SOURCES``), and converted to ONNX and
TFLite in three precisions: by what people type (onnxruntime's quantizers, onnx2tf and TFLiteConverter with their
defaults) and by ``ecgedge convert``. Every file that comes out is run here by onnxruntime or LiteRT themselves on
held-out beats and held against torch or Keras. Results go to ``plain.jsonl`` and ``ours.jsonl`` in the folder; what
is there is not done again (``--again ours`` does). Steps run in children with a time limit, so that a crash or a hang
ends nothing.

``ecgedge convert`` runs through its command line, within a process that is kept: its exit code and all that it prints
are judged. Left out is only the timing with and without graph passes, which ends its work on ONNX files.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from zoo_results import FORMATS, PRECISIONS, SOURCES, Case, Result, table  # beside this script

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SECONDS = 240  # for one step
TESTED = 600  # beats


# -- what runs in children


def draw(out: Path) -> None:
    """Beats of ECG5000, or of the synthetic ones where it is not there, as a data set of our own name."""
    from ecgedge.data import finding

    if (out / "beats").is_dir():
        return
    data, _ = finding.load(None)
    chosen = np.random.default_rng(0).choice(len(data.test), TESTED, replace=False)
    (out / "beats.new").mkdir(parents=True, exist_ok=True)
    for name, split in (("TRAIN", data.train), ("TEST", data.test.take(chosen))):
        rows = np.column_stack([split.y + 1, split.x[:, 0]])
        np.savetxt(out / "beats.new" / f"beats_{name}.txt", rows, fmt=["%d", *["%.7f"] * data.length])
    (out / "beats.new").rename(out / "beats")


def beats(out: Path) -> Any:
    from ecgedge.data import finding

    return finding.read_folder(out / "beats")


def export(out: str, name: str, source: str) -> str:
    """Train a network where that was not done, write its expected outputs and its file; returns the file."""
    from tests.full import zoo

    folder, data = Path(out) / "files" / name, beats(Path(out))
    folder.mkdir(parents=True, exist_ok=True)
    entry = zoo.ZOO[name]
    if source == "keras":
        network, file = zoo.teach_keras(entry, data.train.x, data.train.y), folder / "keras.keras"
        network.save(file)
        found = network.predict(data.test.x.transpose(0, 2, 1), verbose=0)
        np.save(folder / "keras.npy", found.reshape(len(found), -1))
        return str(file)
    import torch

    if not (folder / "network.pt").exists():
        network = zoo.teach(entry, data.train.x, data.train.y)
        with torch.inference_mode():
            found = network(torch.from_numpy(data.test.x)).numpy()
        np.save(folder / "torch.npy", found.reshape(len(found), -1))
        torch.save(network.state_dict(), folder / "network.pt")
    weights = torch.load(folder / "network.pt", weights_only=True)
    network = zoo.rebuild(entry, weights)
    file = folder / f"{source}.onnx"
    zoo.export(network, file, dynamo=source.startswith("dynamo"), free=source.endswith("free"))
    return str(file)


def plain(out: str, name: str, source: str, format: str, precision: str, file: str) -> str:
    """The file that the plain tools make."""
    data, made = beats(Path(out)), Path(file).with_name(f"{source}-plain-{precision}.{format}")
    if format == "onnx":
        plain_onnx(Path(file), made, precision, data.train.x)
    else:
        made.write_bytes(plain_tflite(Path(file), precision, data.train.x))
    return str(made)


def plain_onnx(file: Path, made: Path, precision: str, x: np.ndarray) -> None:
    """By onnxruntime's quantizers with their defaults, pre-processed as its documentation has it."""
    from onnxruntime import InferenceSession, quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if precision == "fp32":
        shutil.copyfile(file, made)
    elif precision == "dynamic":
        quantization.quantize_dynamic(file, made)
    else:
        [given] = InferenceSession(file, providers=["CPUExecutionProvider"]).get_inputs()

        class Reader(quantization.CalibrationDataReader):
            def __init__(self) -> None:
                self.left = iter(x[:200])

            def get_next(self) -> dict[str, np.ndarray] | None:
                beat = next(self.left, None)
                return None if beat is None else {given.name: beat[None]}

        prepared = made.with_suffix(".prepared.onnx")
        quant_pre_process(str(file), str(prepared))
        quantization.quantize_static(prepared, made, Reader())


def plain_tflite(file: Path, precision: str, x: np.ndarray) -> bytes:
    """By TFLiteConverter from Keras, or from what onnx2tf makes, all with their defaults."""
    import tensorflow as tf

    if file.suffix == ".keras":
        import keras

        converter = tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(file))
        last = True
    else:
        folder = file.with_suffix(".saved_model")
        if not (folder / "saved_model.pb").exists():
            import onnx2tf

            shutil.copyfile(file, scratch := file.with_suffix(".scratch.onnx"))
            onnx2tf.convert(
                input_onnx_file_path=str(scratch),
                output_folder_path=str(folder),
                output_signaturedefs=True,
                non_verbose=True,
            )
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        [spec] = tf.saved_model.load(str(folder)).signatures["serving_default"].structured_input_signature[1].values()
        last = spec.shape[-1] == 1
    if precision != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "full-int8":
        converter.representative_dataset = lambda: (
            [beat[None].transpose(0, 2, 1) if last else beat[None]] for beat in x[:200]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def ours(out: str, name: str, source: str, format: str, precision: str, file: str) -> tuple[dict[str, Any], str]:
    """What ``ecgedge convert`` gives: the file and what was printed, or a verdict where it made none."""
    from tests.full import zoo, zoo_judge

    made = Path(file).with_name(f"{source}-ours-{precision}.{format}")
    made.unlink(missing_ok=True)
    told = zoo_judge.convert(Path(file), made, precision, str(Path(out) / "beats"), zoo.ZOO[name].gives)
    if told.code:
        return asdict(zoo_judge.judge_refusal(told)), ""
    return {"text": (told.err + told.out)[-900:]}, str(made)


def judge(out: str, name: str, source: str, precision: str, file: str) -> dict[str, Any]:
    """Whether a file answers as its network does on the held-out beats."""
    from tests.full import zoo_judge

    data = beats(Path(out))
    expected = np.load(Path(out) / "files" / name / ("keras.npy" if source == "keras" else "torch.npy"))
    return asdict(zoo_judge.judge(Path(file), precision, expected, data.test.x, data.test.y))


# -- children


def serve(pipe: Any, log: Path) -> None:
    """Answer requests; all that libraries print goes to a file."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"}
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stream, 1), os.dup2(stream, 2)
    os.environ["ECGEDGE_TURNS"] = "0"
    while True:
        name, arguments = pipe.recv()
        try:
            pipe.send(("ok", globals()[name](*arguments)))
        except BaseException as error:
            traceback.print_exc()
            pipe.send(("error", f"{type(error).__name__}: {error}"[:1500]))


class Failed(Exception):
    """A step raised, died or did not end."""


class Helper:
    """A child that is started when first asked, and again after it was lost."""

    def __init__(self, log: Path):
        self.log, self.process = log, None

    def ask(self, function: Callable, *arguments: Any) -> Any:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=serve, args=(theirs, self.log))
            self.process.start()
            theirs.close()
        self.pipe.send((function.__name__, arguments))
        try:
            if not self.pipe.poll(SECONDS):
                raise Failed(f"no end within {SECONDS} s")
            what, answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code, self.process = self.process.exitcode, None
            raise Failed(f"died: exit code {code}") from None
        except Failed:
            self.close()
            raise
        if what == "error":
            raise Failed(answer)
        return answer

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.join()
            self.process = None


# -- the run


class Run:
    """A folder of results, and what fills it."""

    def __init__(self, out: Path):
        self.out, self.lock = out, threading.Lock()
        self.results = {(found.case, found.who): found for found in self.read()}

    def read(self) -> Iterator[Result]:
        for who in ("plain", "ours"):
            with contextlib.suppress(FileNotFoundError):
                yield from map(Result.read, (self.out / f"{who}.jsonl").read_text().splitlines())

    def keep(self, result: Result) -> None:
        with self.lock, (self.out / f"{result.who}.jsonl").open("a") as file:
            file.write(result.line())
            self.results[result.case, result.who] = result
        case, text = result.case, "" if result.status == "right" else " ".join(result.text.split())[:140]
        what = f"{case.network:22} {case.source:12} {case.format:6} {case.precision:9}"
        print(f"{result.who:5} {what} {result.status:11} {result.seconds:5.1f} s  {text}", flush=True)

    def do(self, cases: list[Case], whose: list[str], again: bool, lane: int) -> None:
        """All conversions of one file."""
        helpers = self.helpers[lane]
        todo = [
            (who, case)
            for case in cases
            for who in whose
            if (case, who) not in self.results or (again and who == "ours")
        ]
        if not todo:
            return
        name, source = cases[0].network, cases[0].source
        kept = self.out / "files" / name / ("keras.keras" if source == "keras" else f"{source}.onnx")
        try:
            file = str(kept) if kept.exists() else helpers["export"].ask(export, str(self.out), name, source)
        except Failed as error:
            for who, case in todo:
                self.keep(Result(case, who, "not exported", str(error)))
            return
        for who, case in todo:
            start = monotonic()
            found = (self.plainly if who == "plain" else self.by_us)(case, file, helpers)
            self.keep(Result(case, who, seconds=round(monotonic() - start, 1), **found))

    def plainly(self, case: Case, file: str, helpers: Mapping[str, Helper]) -> dict[str, Any]:
        try:
            made = helpers["plain"].ask(plain, str(self.out), *asdict(case).values(), file)
            return helpers["plain"].ask(judge, str(self.out), case.network, case.source, case.precision, made)
        except Failed as error:
            return {"status": "crashed", "text": str(error)}

    def by_us(self, case: Case, file: str, helpers: Mapping[str, Helper]) -> dict[str, Any]:
        try:
            told, made = helpers["ours"].ask(ours, str(self.out), *asdict(case).values(), file)
        except Failed as error:
            return {"status": "crashed", "text": str(error)}
        if not made:
            return told
        try:
            found = helpers["plain"].ask(judge, str(self.out), case.network, case.source, case.precision, made)
        except Failed as error:
            return {"status": "wrong", "text": f"cannot be run: {error}"}
        return found | ({"text": f"{found['text']} | {told['text']}"} if found["status"] != "right" else {})

    def all(self, files: list[list[Case]], whose: list[str], again: bool, lanes: int) -> None:
        """Several files at a time."""
        self.helpers = [
            {what: Helper(self.out / f"{what}-{lane}.log") for what in ("export", "plain", "ours")}
            for lane in range(lanes)
        ]
        left = iter(files)

        def work(lane: int) -> None:
            while True:
                with self.lock:
                    cases = next(left, None)
                if cases is None:
                    break
                self.do(cases, whose, again, lane)
            for helper in self.helpers[lane].values():
                helper.close()

        threads = [threading.Thread(target=work, args=(lane,)) for lane in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def files_of(names: list[str], sources: list[str], formats: list[str], precisions: list[list[str]]) -> list[list[Case]]:
    """Conversions grouped by file, a group of precisions and a source at a time: a cut off run is fair."""
    from tests.full.zoo import ZOO

    return [
        [
            Case(name, source, format, precision)
            for precision in group
            for format in formats
            if (source, format) != ("keras", "onnx")  # for which there is no tool here
        ]
        for source in sources
        for group in precisions
        for name in names
        if source != "keras" or ZOO[name].keras
    ]


def main() -> None:
    from tests.full.zoo import ZOO

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--out", type=Path, required=True, help="Folder of results; what is there is kept.")
    parser.add_argument("--only", type=words, default=list(ZOO), help="Networks, with commas.")
    parser.add_argument("--limit", type=int, help="So many networks at most.")
    parser.add_argument("--sources", type=words, default=list(SOURCES))
    parser.add_argument("--formats", type=words, default=list(FORMATS))
    parser.add_argument("--precisions", type=words, default=list(PRECISIONS))
    parser.add_argument("--whose", type=words, default=["plain", "ours"])
    parser.add_argument("--again", action="store_true", help="Ours once more, though it is there.")
    parser.add_argument("--failed", action="store_true", help="Only what is not right yet, of ours.")
    parser.add_argument("--lanes", type=int, default=1, help="Files at a time.")
    parser.add_argument("--table", type=Path, help="Write this table of what is there, and do nothing else.")
    asked = parser.parse_args()
    asked.out = asked.out.absolute()
    asked.out.mkdir(parents=True, exist_ok=True)
    run = Run(asked.out)
    if asked.table:
        everything = files_of(list(ZOO), list(SOURCES), list(FORMATS), [list(PRECISIONS)])
        asked.table.write_text(table(run.results, TESTED, sum(map(len, everything))))
        return
    draw(asked.out)
    groups = [[one] for one in asked.precisions[:1]] + ([asked.precisions[1:]] if asked.precisions[1:] else [])
    files = files_of(asked.only[: asked.limit], asked.sources, asked.formats, groups)
    if asked.failed:
        bad = {case for (case, who), found in run.results.items() if who == "ours" and found.status != "right"}
        files = [kept for cases in files if (kept := [case for case in cases if case in bad])]
    run.all(files, asked.whose, asked.again or asked.failed, asked.lanes)


if __name__ == "__main__":
    main()
