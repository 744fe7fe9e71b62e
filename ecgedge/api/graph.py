"""What a file is and who ran it, as its runtime tells: operations as they ran, constants as they lie in the file."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENDS = "input and output"  # of a file, where these are left in float like a layer

# What an operation does: it multiplies by weights or two values, computes anything else, moves values as they are,
# quantizes from float to integers or back, or controls others that run inside it.
KINDS = ("multiplies", "computes", "moves", "quantizes", "controls")


@dataclass(frozen=True)
class Node:
    """One operation as it really runs, after the runtime's own changes to the graph.

    Attributes:
        op: its type in the runtime's own words: ``"Conv"``, ``"CONV_2D"``.
        runner: the execution provider or delegate that runs it.
        device: ``"cpu"``, ``"cuda"``, as in ``Runtime.device``.
        takes: dtypes of its inputs, weights included, by numpy's names; of what multiplies, data before weights.
        gives: dtypes of its outputs.
        constants: for each input its number of elements where it is a constant, else 0; empty: not told.
        input_shapes, output_shapes: one for each of ``takes`` and ``gives``; empty: not told.
        makes: its first output, as the file names it; empty: not told.
        kind: what it does, one of ``KINDS``; empty: it is looked up by ``op``, among names that are known.
        macs: multiply-accumulates of one call; None: they are told from the shapes, where ``op`` is known.
        dynamic: it quantizes by the range of the values of that very call.

    Raises:
        ValueError: there is no such kind.
    """

    name: str
    op: str
    runner: str
    device: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    constants: tuple[int, ...] = ()
    input_shapes: tuple[tuple[int, ...], ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    makes: str = ""
    kind: str = ""
    macs: int | None = None
    dynamic: bool = False

    def __post_init__(self) -> None:
        if self.kind and self.kind not in KINDS:
            raise ValueError(f"operation {self.name} is of the kind {self.kind!r}, not of {', '.join(KINDS)}")


@dataclass(frozen=True)
class Weight:
    """A constant as it lies in the file; ``digest`` is of its content, empty where that is not told."""

    name: str
    dtype: str
    size_bytes: int
    digest: str = ""


@dataclass(frozen=True)
class Graph:
    """What a runtime tells of a loaded file.

    Attributes:
        weights: None: the runtime does not tell. Shapes and indices may be left out.
        partitions: pieces that were handed to a delegate; None for a runtime without one.
        delegate: its name, as in ``Node.runner``.
        input, output: dtypes of the file's own input and output, where known.
        free_batch: the file leaves the batch free, although the runtime has given it a number.
    """

    nodes: tuple[Node, ...]
    weights: tuple[Weight, ...] | None
    partitions: int | None = None
    delegate: str = ""
    input: str = ""
    output: str = ""
    free_batch: bool = False

    def record(self) -> dict[str, Any]:
        """As JSON can hold it; ``from_record`` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Graph:
        """Read back what ``record`` gave. Raises KeyError or TypeError on any other."""
        nodes = tuple(node_from(node) for node in record["nodes"])
        weights = record["weights"]
        told = None if weights is None else tuple(Weight(**weight) for weight in weights)
        return cls(**{**record, "nodes": nodes, "weights": told})

    def placement(self) -> str:
        """Who ran it, one line: ``37/37 CPUExecutionProvider``, ``1 partition, all 19 ops in XNNPACK``."""
        runners = Counter(node.runner for node in self.nodes)
        if self.partitions is None:
            return ", ".join(f"{count}/{len(self.nodes)} {runner}" for runner, count in runners.most_common())
        pieces = f"{self.partitions} partition{'' if self.partitions == 1 else 's'}"
        outside = len(self.nodes) - runners[self.delegate]
        if not outside:
            return f"{pieces}, all {len(self.nodes)} ops in {self.delegate}"
        return f"{pieces}, {outside} op{'' if outside == 1 else 's'} outside {self.delegate}"


def node_from(record: Mapping[str, Any]) -> Node:
    """A node of ``Graph.record``; older records know no shapes.

    One that a run kept has in ``told`` what the runtime said of it, see ``evaluate.arithmetic.kept``: all else that was
    found out is left away.
    """
    untold = {"kind", "macs", "dynamic"} - {*record["told"]} if "told" in record else set()
    told = {key: value for key, value in record.items() if key not in untold | {"told", "data"}}
    lists = {key: tuple(record[key]) for key in ("takes", "gives", "constants")}
    shapes = {key: tuple(map(tuple, record.get(key, ()))) for key in ("input_shapes", "output_shapes")}
    return Node(**{**told, **lists, **shapes})
