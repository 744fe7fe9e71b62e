"""ecgedge: which form of this ECG model should run on that device?

These names are for plugin authors; all else may change.
"""

import logging

import pluggy

from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Artifact, Classification, copy_to
from ecgedge.api.graph import ENDS, Graph, Node, Weight
from ecgedge.api.parts import ANY, Context, Exporter, Model, Quantizer, Runtime, Session
from ecgedge.api.profile import Profile, Step
from ecgedge.api.records import artifact_from, check_tensors, tell_artifact, write_sidecar
from ecgedge.api.tensors import TensorSpec, layout_of
from ecgedge.convert.checkpoint import load_network
from ecgedge.environments.versions import VERSION
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.evaluate.parity import check_parity
from ecgedge.files.strict_json import loads as loads_json
from ecgedge.measure.bench import infer
from ecgedge.measure.processor import int8_products, without_tf32

__version__ = VERSION
logging.getLogger("ecgedge").addHandler(logging.NullHandler())  # a library prints nothing: see ecgedge.files.notices
hookimpl = pluggy.HookimplMarker("ecgedge")

__all__ = [
    "ANY",
    "ENDS",
    "Anomaly",
    "Artifact",
    "Classification",
    "Context",
    "ConversionError",
    "EcgEdgeError",
    "Exporter",
    "Graph",
    "Model",
    "Node",
    "Profile",
    "Quantizer",
    "Runtime",
    "Session",
    "Step",
    "TensorSpec",
    "Weight",
    "artifact_from",
    "check_parity",
    "check_tensors",
    "copy_to",
    "hookimpl",
    "infer",
    "int8_products",
    "layout_of",
    "load_network",
    "loads_json",
    "tasks",
    "tell_artifact",
    "without_tf32",
    "write_sidecar",
]
