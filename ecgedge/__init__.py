"""ecgedge: which form of this ECG model should run on that device?

These names are for plugin authors, and those of ``FOR_SCRIPTS`` for scripts and notebooks; all else may change.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pluggy

# Packages whose names are those of functions below: imported first, for importing one binds its name.
import ecgedge.convert
import ecgedge.evaluate
import ecgedge.explain  # noqa: F401
from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Artifact, Classification, copy_to
from ecgedge.api.figures import Figure
from ecgedge.api.graph import ENDS, Graph, Node, Weight
from ecgedge.api.hookspecs import API_VERSION
from ecgedge.api.measured import Blocks, Measured
from ecgedge.api.options import Option
from ecgedge.api.parts import ANY, Context, Exporter, GraphPass, Model, Quantizer, Runtime, Session
from ecgedge.api.precisions import Precision
from ecgedge.api.profile import Profile, Step
from ecgedge.api.records import artifact_from, check_tensors, tell_artifact, write_sidecar
from ecgedge.api.records.embedded import write_record
from ecgedge.api.tensors import TensorSpec, layout_of
from ecgedge.api.training import Fitted, Recipe, TrainingContext, TrainingSet
from ecgedge.commands.convert import convert
from ecgedge.commands.evaluate import evaluate
from ecgedge.commands.explain import explain
from ecgedge.commands.predict import predict
from ecgedge.convert.checkpoint import load_network, save_weights, write_checkpoint
from ecgedge.environments.versions import VERSION
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.evaluate.parity import check_parity
from ecgedge.files.strict_json import loads as loads_json
from ecgedge.measure.bench import infer
from ecgedge.measure.processor import int8_products, without_tf32

if TYPE_CHECKING:
    from ecgedge.commands.convert import Conversion
    from ecgedge.commands.evaluate import Evaluation
    from ecgedge.commands.explain import Explained
    from ecgedge.commands.matrix import run_matrix
    from ecgedge.commands.run import Run, open_run
    from ecgedge.run.request import MatrixRequest, Told

FOR_SCRIPTS = {  # with their modules, which are imported when they are asked for: a plugin needs none of them
    "Conversion": "ecgedge.commands.convert",
    "Evaluation": "ecgedge.commands.evaluate",
    "Explained": "ecgedge.commands.explain",
    "MatrixRequest": "ecgedge.run.request",
    "Run": "ecgedge.commands.run",
    "Told": "ecgedge.run.request",
    "open_run": "ecgedge.commands.run",
    "run_matrix": "ecgedge.commands.matrix",
}

__version__ = VERSION
logging.getLogger("ecgedge").addHandler(logging.NullHandler())  # a library prints nothing: see ecgedge.files.notices
hookimpl = pluggy.HookimplMarker("ecgedge")

__all__ = [
    "ANY",
    "API_VERSION",
    "ENDS",
    "Anomaly",
    "Artifact",
    "Blocks",
    "Classification",
    "Context",
    "Conversion",
    "ConversionError",
    "EcgEdgeError",
    "Evaluation",
    "Explained",
    "Exporter",
    "Figure",
    "Fitted",
    "Graph",
    "GraphPass",
    "MatrixRequest",
    "Measured",
    "Model",
    "Node",
    "Option",
    "Precision",
    "Profile",
    "Quantizer",
    "Recipe",
    "Run",
    "Runtime",
    "Session",
    "Step",
    "TensorSpec",
    "Told",
    "TrainingContext",
    "TrainingSet",
    "Weight",
    "artifact_from",
    "check_parity",
    "check_tensors",
    "convert",
    "copy_to",
    "evaluate",
    "explain",
    "hookimpl",
    "infer",
    "int8_products",
    "layout_of",
    "load_network",
    "loads_json",
    "open_run",
    "predict",
    "run_matrix",
    "save_weights",
    "tasks",
    "tell_artifact",
    "without_tf32",
    "write_checkpoint",
    "write_record",
    "write_sidecar",
]


def __getattr__(name: str) -> Any:
    if name not in FOR_SCRIPTS:
        raise AttributeError(f"module 'ecgedge' has no attribute {name!r}")
    return getattr(import_module(FOR_SCRIPTS[name]), name)
