"""ecgedge: which form of this ECG model should run on that device?

These names are for plugin authors, for scripts and for notebooks; all else may change. Each is imported when it is
asked for: the command line asks for none of them, and a plugin for few.
"""

import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgedge.api import tasks
    from ecgedge.api.artifact import Anomaly, Artifact, Binary, Classification, Multilabel, copy_to
    from ecgedge.api.figures import Figure
    from ecgedge.api.graph import ENDS, Graph, Node, Weight
    from ecgedge.api.hookspecs import API_VERSION, hookimpl
    from ecgedge.api.measured import Blocks, Measured
    from ecgedge.api.options import Option
    from ecgedge.api.origins import write_origins
    from ecgedge.api.parts import ANY, Context, Exporter, Family, GraphPass, Model, Quantizer, Runtime, Session
    from ecgedge.api.precisions import Precision
    from ecgedge.api.profile import Profile, Step
    from ecgedge.api.records import artifact_from, check_tensors, write_sidecar
    from ecgedge.api.records.embedded import write_record
    from ecgedge.api.records.told import tell_artifact
    from ecgedge.api.taps import Operation, Taps, Tensor, Wiring
    from ecgedge.api.tensors import TensorSpec, layout_of
    from ecgedge.api.training import Fitted, Recipe, TrainingContext, TrainingSet
    from ecgedge.builtin.tflite_quantizers import TfliteFp32, TfliteFullInt8
    from ecgedge.commands.convert import Conversion, convert
    from ecgedge.commands.diverge import Diverged, diverge
    from ecgedge.commands.evaluate import Evaluation, evaluate
    from ecgedge.commands.explain import Explained, explain
    from ecgedge.commands.matrix import run_matrix
    from ecgedge.commands.portability import portability
    from ecgedge.commands.predict import predict
    from ecgedge.commands.run import Run, open_run
    from ecgedge.convert.checkpoint import load_network, save_weights, write_checkpoint
    from ecgedge.environments.versions import VERSION as __version__  # noqa: F401  # no name that `import *` would bring
    from ecgedge.errors import ConversionError, EcgEdgeError
    from ecgedge.evaluate.parity import check_parity
    from ecgedge.files.strict_json import loads as loads_json
    from ecgedge.measure.bench import infer
    from ecgedge.measure.processor import int8_products, without_tf32
    from ecgedge.portability.record import Portability
    from ecgedge.run.request import MatrixRequest, Told

PLACES = {  # the same once more, for Python: what is in which module
    "api": "tasks",
    "api.artifact": "Anomaly Artifact Binary Classification Multilabel copy_to",
    "api.figures": "Figure",
    "api.graph": "ENDS Graph Node Weight",
    "api.hookspecs": "API_VERSION hookimpl",
    "api.measured": "Blocks Measured",
    "api.options": "Option",
    "api.origins": "write_origins",
    "api.parts": "ANY Context Exporter Family GraphPass Model Quantizer Runtime Session",
    "api.precisions": "Precision",
    "api.profile": "Profile Step",
    "api.records": "artifact_from check_tensors write_sidecar",
    "api.records.embedded": "write_record",
    "api.records.told": "tell_artifact",
    "api.taps": "Operation Taps Tensor Wiring",
    "api.tensors": "TensorSpec layout_of",
    "api.training": "Fitted Recipe TrainingContext TrainingSet",
    "builtin.tflite_quantizers": "TfliteFp32 TfliteFullInt8",
    "commands.convert": "Conversion convert",
    "commands.diverge": "Diverged diverge",
    "commands.evaluate": "Evaluation evaluate",
    "commands.explain": "Explained explain",
    "commands.matrix": "run_matrix",
    "commands.portability": "portability",
    "commands.predict": "predict",
    "commands.run": "Run open_run",
    "convert.checkpoint": "load_network save_weights write_checkpoint",
    "environments.versions": "__version__=VERSION",
    "errors": "ConversionError EcgEdgeError",
    "evaluate.parity": "check_parity",
    "files.strict_json": "loads_json=loads",
    "measure.bench": "infer",
    "measure.processor": "int8_products without_tf32",
    "portability.record": "Portability",
    "run.request": "MatrixRequest Told",
}
ORIGINS = {
    name: (f"ecgedge.{module}", original or name)
    for module, names in PLACES.items()
    for name, _, original in (each.partition("=") for each in names.split())
}

__all__ = [
    "ANY",
    "API_VERSION",
    "ENDS",
    "Anomaly",
    "Artifact",
    "Binary",
    "Blocks",
    "Classification",
    "Context",
    "Conversion",
    "ConversionError",
    "Diverged",
    "EcgEdgeError",
    "Evaluation",
    "Explained",
    "Exporter",
    "Family",
    "Figure",
    "Fitted",
    "Graph",
    "GraphPass",
    "MatrixRequest",
    "Measured",
    "Model",
    "Multilabel",
    "Node",
    "Operation",
    "Option",
    "Portability",
    "Precision",
    "Profile",
    "Quantizer",
    "Recipe",
    "Run",
    "Runtime",
    "Session",
    "Step",
    "Taps",
    "Tensor",
    "TensorSpec",
    "TfliteFp32",
    "TfliteFullInt8",
    "Told",
    "TrainingContext",
    "TrainingSet",
    "Weight",
    "Wiring",
    "artifact_from",
    "check_parity",
    "check_tensors",
    "convert",
    "copy_to",
    "diverge",
    "evaluate",
    "explain",
    "hookimpl",
    "infer",
    "int8_products",
    "layout_of",
    "load_network",
    "loads_json",
    "open_run",
    "portability",
    "predict",
    "run_matrix",
    "save_weights",
    "tasks",
    "tell_artifact",
    "without_tf32",
    "write_checkpoint",
    "write_origins",
    "write_record",
    "write_sidecar",
]

logging.getLogger("ecgedge").addHandler(logging.NullHandler())  # a library prints nothing: see ecgedge.files.notices


def __getattr__(name: str) -> Any:
    if name not in ORIGINS:
        raise AttributeError(f"module 'ecgedge' has no attribute {name!r}")
    module, original = ORIGINS[name]
    return getattr(__import__(module, fromlist=(original,)), original)


class Offering(ModuleType):
    """This package. ``convert``, ``evaluate`` and others are functions that it offers, and packages within it.

    Python binds the name of a package within when that is imported; here the functions keep these names.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in ORIGINS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = Offering
