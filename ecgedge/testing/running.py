"""Run the contracts of an installed plugin without pytest: ``python -m ecgedge.testing.running PLUGIN``.

Each test is answered with one line of JSON on stdout. A package brings its contracts in a module ``contracts``;
for a part that none of them is about, there is a contract with a specimen that installed parts make.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import traceback
import unittest
from collections.abc import Iterator, Sequence
from pathlib import Path

from ecgedge import plugins
from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import ANY, Part
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.plugins import Parts, missing
from ecgedge.testing.contract import Contract, make_artifact
from ecgedge.testing.conversions import ExporterContract, QuantizerContract
from ecgedge.testing.models import ModelContract
from ecgedge.testing.passes import PassContract
from ecgedge.testing.runtimes import RuntimeContract
from ecgedge.workers.client import Limits
from ecgedge.workers.hosts import hosts
from ecgedge.workers.standins import Workers, at_hand

SMALL = ("cnn-ae", "base-cnn")  # models that are tried first: conversions are quick
KINDS: dict[str, type[Contract]] = {
    "model": ModelContract,
    "exporter": ExporterContract,
    "quantizer": QuantizerContract,
    "runtime": RuntimeContract,
    "pass": PassContract,
}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    for result in run(sys.argv[1], plugins.load()):
        answers.write(json.dumps(result) + "\n")
        answers.flush()


def run(plugin: str, parts: Parts) -> Iterator[dict[str, str]]:
    """Each test before it runs (``result`` empty), and how it went: ``"passed"``, ``"skipped"`` or ``"failed"``.

    Parts that work elsewhere share a worker, as those that work here share this process.
    """
    with Workers(hosts(parts), Limits()) as workers:
        yield from tested(contracts_of(plugin, parts, workers))


def tested(contracts: Sequence[type[Contract]]) -> Iterator[dict[str, str]]:
    """As ``run``, of contracts whose parts can be used in this process."""
    for contract in contracts:
        told = {"contract": contract.__name__, "part": f"{contract.kind} {contract.part.name}"}
        if reason := missing(getattr(contract.part, "part", contract.part)):  # of a stand-in, what it stands for
            yield told | {"test": "", "result": "failed", "why": reason}
            continue
        for name in dir(contract):
            if name.startswith("test_") and callable(getattr(contract, name)):
                yield told | {"test": name, "result": "", "why": ""}
                result, why = outcome(contract, name)
                yield told | {"test": name, "result": result, "why": why}


def outcome(contract: type[Contract], name: str) -> tuple[str, str]:
    """How one test goes, and why where it does not pass."""
    try:
        getattr(contract(), name)()
    except unittest.SkipTest as skip:
        return "skipped", str(skip)
    except AssertionError as error:
        return "failed", str(error) or "an assertion without words; see the log"
    except Exception as error:  # a part may raise anything
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {error}"
    return "passed", ""


def contracts_of(plugin: str, parts: Parts, workers: Workers) -> list[type[Contract]]:
    """The contracts that a plugin brings, and one for each part that they leave out."""
    mine = [parts.of(kind)[name] for (kind, name), owner in parts.owners.items() if owner.plugin == plugin]
    brought = [with_stand_ins(contract, workers) for contract in brought_by(plugin)]
    covered = {(contract.kind, contract.part.name) for contract in brought}
    left = [part for part in mine if (part.kind, part.name) not in covered]
    return [*brought, *(with_stand_ins(contract_for(part, parts), workers) for part in left)]


def brought_by(plugin: str) -> list[type[Contract]]:
    """The contract classes in the module ``contracts`` of a plugin's package."""
    points = [point for owner, point in plugins.installed() if owner.plugin == plugin]
    for point in points:
        package = point.module.partition(".")[0]
        try:
            found = importlib.util.find_spec(f"{package}.contracts")
        except ModuleNotFoundError:  # a module, no package
            continue
        if found:
            module = importlib.import_module(found.name)
            everything = [value for name, value in vars(module).items() if name.startswith("Test")]
            return [value for value in everything if isinstance(value, type) and issubclass(value, Contract)]
    return []


def with_stand_ins(contract: type[Contract], workers: Workers) -> type[Contract]:
    """A contract whose part, and the runtimes that it names, can be used in this process."""
    changed = {"part": at_hand(contract.part, workers.hosts, workers), "__module__": contract.__module__}
    if runtimes := getattr(contract, "runtimes", ()):
        changed["runtimes"] = tuple(at_hand(runtime, workers.hosts, workers) for runtime in runtimes)
    return type(contract.__name__, (contract,), changed)


def contract_for(part: Part, parts: Parts) -> type[Contract]:
    """A contract with a specimen of the first format that the part takes and installed parts can make."""
    accepts = ("onnx",) if part.kind == "pass" else getattr(part, "accepts", ())
    specimen = lambda self, folder: make_specimen(accepts, parts, folder)  # noqa: E731  (a method in the making)
    name = "".join(word.capitalize() for word in part.name.split("-"))
    return type(f"Test{name}", (KINDS[part.kind],), {"part": part, "artifact": specimen, "source": specimen})


def make_specimen(accepts: tuple[str, ...], parts: Parts, folder: Path) -> Artifact:
    """Trained weights of an installed model in one of some formats. Raises SkipTest where none leads there."""
    trained = sorted(
        (part for part in parts.models.values() if part.pretrained() and not missing(part)),
        key=lambda part: part.name not in SMALL,
    )
    full = [part for part in parts.quantizers.values() if part.precision == "fp32" and not missing(part)]
    for model in trained:
        checkpoint = model.pretrained()
        if checkpoint and (model.produces in accepts or ANY in accepts):
            return read_checkpoint(checkpoint, parts.models)
        for format in accepts:
            for quantizer in full:
                try:
                    return make_artifact(model.name, format, folder, quantizer.name)
                except AssertionError:  # no way
                    continue
    raise unittest.SkipTest(f"no installed model leads to {' or '.join(accepts)}: bring a contract of your own")


if __name__ == "__main__":
    main()
