"""ecgedge: which form of this ECG model should run on that device?

These names are for plugin authors; all else may change.
"""

import pluggy

from ecgedge import tasks
from ecgedge.artifacts import Anomaly, Artifact, Classification, copy_to
from ecgedge.checkpoint import load_network
from ecgedge.environments.versions import VERSION
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.files.strict_json import loads as loads_json
from ecgedge.graph import ENDS, Graph, Node, Weight
from ecgedge.kinds import ANY, Context, Exporter, Model, Quantizer, Runtime, Session
from ecgedge.measure import infer
from ecgedge.parity import check_parity
from ecgedge.processor import int8_products, without_tf32
from ecgedge.profile import Profile, Step
from ecgedge.records import artifact_from, check_tensors, tell_artifact, write_sidecar
from ecgedge.tensors import TensorSpec, layout_of

__version__ = VERSION
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
