"""What a run would say of a graph, so that tests of a runtime or quantizer can ask for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ecgedge.api.graph import Graph
from ecgedge.api.precisions import Precision, find
from ecgedge.evaluate import precision_check


def judge_graph(
    graph: Graph | None,
    precision: str | Precision,
    device: str = "cpu",
    parent: Graph | None = None,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the precision check finds in a graph, by the names and as the values that a row has.

    Args:
        graph: as ``Session.graph`` gives it.
        precision: that the file claims: one that is built in by its name, or what a part declares.
        device: that it was to run on, see ``Runtime.device``.
        parent: the graph of the fp32 file that it was made of, where that is to be compared.
        notes: of its artifact; a ``mixed`` file says in them what was left in float.

    Returns:
        ``status`` (``"ok"`` or ``"rejected"``), ``reason``, ``precision_check``, ``computes``, ``float_ops``, ...
    """
    claimed = precision if isinstance(precision, Precision) else find(precision)
    found = precision_check.judge(graph, claimed, device, parent, notes)
    told: dict[str, Any] = json.loads(json.dumps(found.flat, allow_nan=False))
    return told
