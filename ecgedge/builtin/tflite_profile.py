"""What the operations of a TFLite file take, by the profiler of LiteRT's C API, which its Python API leaves out.

The same library runs the file with the same delegate, as a compiled model.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgedge import Graph, Profile, Step

CPU = 1  # litert_common.h: kLiteRtHwAcceleratorCpu
WRITE = 1  # litert_tensor_buffer_types.h: kLiteRtTensorBufferLockModeWrite
WHOLE, OPERATION, KERNEL = 1, 2, 8  # litert_profiler_event.h: types of events
TYPE_BYTES = 256  # room for a LiteRtRankedTensorType
Handle = ctypes.c_void_p

# How XNNPACK calls the kernels of operations. A convolution of one sample is a matrix product to it.
FAMILIES = (
    (
        ("Convolution", "Fully Connected", "Deconvolution", "Batch Matrix Multiply"),
        ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"),
    ),
    (("Add",), ("ADD",)),
    (("Max Pooling",), ("MAX_POOL_2D",)),
    (("Mean",), ("MEAN",)),
    (("Multiply",), ("MUL",)),
)


class Event(ctypes.Structure):
    """``ProfiledEventData`` of litert_profiler_event.h."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("index", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


Told = tuple[str, int, int, int]  # of an event: tag, type, index, microseconds


@ctypes.CFUNCTYPE(None, Handle)
def keep(_: int | None) -> None:
    """How LiteRT frees the text of an option: not at all, since it is Python's."""


class Library:
    """LiteRT's C API: ``library.Name(...)`` calls ``LiteRtName``. Raises RuntimeError where that fails."""

    def __init__(self) -> None:
        import ai_edge_litert  # heavy

        file = Path(ai_edge_litert.__file__).parent / "libLiteRt.so"
        try:
            self.library = ctypes.CDLL(str(file))
        except OSError as error:
            raise RuntimeError(f"{file.name} cannot be loaded: {error}") from error

    def __getattr__(self, name: str) -> Any:
        try:
            function = getattr(self.library, f"LiteRt{name}")
        except AttributeError as error:
            raise RuntimeError(f"this LiteRT has no LiteRt{name}") from error

        def call(*arguments: Any) -> None:
            if status := function(*arguments):
                raise RuntimeError(f"LiteRt{name} failed with status {status}")

        return call

    def make(self, name: str, *arguments: Any) -> Handle:
        """The handle that a function leaves in its last argument."""
        handle = Handle()
        getattr(self, name)(*arguments, ctypes.byref(handle))
        return handle


def profile_of(
    graph: Graph, partitions: list[tuple[str, ...]], path: Path, content: bytes, threads: int, calls: int
) -> Profile:
    """What the operations of a file take that the interpreter runs itself, and the kernels of its delegate.

    Args:
        graph: of the file, as the interpreter has it.
        partitions: names of the nodes in each piece that was handed to the delegate, in order.
        content: of the input, as the file wants it.

    Raises:
        RuntimeError: this LiteRT has no such profiler, or it tells of other pieces.
    """
    runs = list(events_of(path, content, threads, calls))[-calls:]
    ran = [[event for event in events if event[1] in (OPERATION, KERNEL)] for events in runs]
    if len({tuple(event[:3] for event in events) for events in ran}) != 1:
        raise RuntimeError("LiteRT's profiler tells of other operations from call to call")
    times = [tuple(float(event[3]) for event in same) for same in zip(*ran, strict=True)]
    whole = tuple(float(event[3]) for events in runs for event in events if event[:2] == ("Invoke", WHOLE))
    pieces = tuple((f"{graph.delegate} {i}", names) for i, names in enumerate(partitions, start=1))
    steps = tuple(steps_of(graph, pieces, ran[0], times))
    if len({step.partition for step in steps} - {""}) != len(pieces):
        raise RuntimeError("LiteRT's profiler tells of other partitions than its interpreter")
    return Profile(steps, whole, tick=1.0, partitions=pieces)


def events_of(path: Path, content: bytes, threads: int, calls: int) -> Iterator[list[Told]]:
    """What the profiler tells of each call; a fifth more come first, to warm it up."""
    litert = Library()
    environment = litert.make("CreateEnvironment", 0, None)
    model = litert.make("CreateModelFromFile", environment, str(path).encode())
    options = litert.make("CreateOptions")
    litert.SetOptionsHardwareAccelerators(options, CPU)
    texts = {b"runtime_options_string": b"enable_profiling = true\n", b"xnnpack": b"num_threads = %d\n" % threads}
    for kind, text in texts.items():
        litert.AddOpaqueOptions(options, litert.make("CreateOpaqueOptions", kind, text, keep))
    compiled = litert.make("CreateCompiledModel", environment, model, options)
    profiler = litert.make("CompiledModelGetProfiler", compiled)
    if not profiler:
        raise RuntimeError("this LiteRT does not profile")
    given, returned = (buffer_of(litert, environment, model, compiled, which) for which in ("Input", "Output"))
    place = Handle()
    litert.LockTensorBuffer(given, ctypes.byref(place), WRITE)
    ctypes.memmove(place, content, len(content))
    litert.UnlockTensorBuffer(given)
    bound = [(ctypes.c_size_t(1), (Handle * 1)(buffer)) for buffer in (given, returned)]
    for _ in range(calls + calls // 5 + 1):
        litert.ResetProfiler(profiler)
        litert.StartProfiler(profiler)
        litert.RunCompiledModel(compiled, ctypes.c_size_t(0), *bound[0], *bound[1])
        litert.StopProfiler(profiler)
        count = ctypes.c_int()
        litert.GetNumProfilerEvents(profiler, ctypes.byref(count))
        events = (Event * count.value)()
        litert.GetProfilerEvents(profiler, count, events)
        yield [(event.tag.decode(), event.type, event.index, event.elapsed_us) for event in events]


def buffer_of(litert: Library, environment: Handle, model: Handle, compiled: Handle, which: str) -> Handle:
    """A buffer for the first ``"Input"`` or ``"Output"``, as the compiled model wants it."""
    first = ctypes.c_size_t(0)
    graph = litert.make("GetModelSubgraph", model, first)
    tensor = litert.make(f"GetSubgraph{which}", graph, first)
    type_ = ctypes.create_string_buffer(TYPE_BYTES)
    litert.GetRankedTensorType(tensor, type_)
    wanted = litert.make(f"GetCompiledModel{which}BufferRequirements", compiled, first, first)
    return litert.make("CreateManagedTensorBufferFromRequirements", environment, type_, wanted)


def steps_of(
    graph: Graph, pieces: tuple[tuple[str, tuple[str, ...]], ...], ran: list[Told], times: list[tuple[float, ...]]
) -> Iterator[Step]:
    """A step of each event: operations by their index, kernels by the piece that they lie in."""
    nodes = {node.name: node.op for node in graph.nodes}
    by_index = {name.split()[-1]: name for name in nodes}
    piece = -1
    for i, (tag, kind, index, _) in enumerate(ran):
        if kind == OPERATION:
            name = by_index.get(str(index), f"{tag} {index}")
            yield Step(nodes.get(name, tag), name, (name,) if name in nodes else (), times[i])
            continue
        if index == 0:  # kernels are counted anew in each piece
            piece += 1
            kernels = [event[0] for event in ran[i : i + length_of(ran, i)]]
            names = pieces[piece][1] if piece < len(pieces) else ()
            computed = computed_by(kernels, [(name, nodes[name]) for name in names])
        where = pieces[piece][0] if piece < len(pieces) else f"{graph.delegate} {piece + 1}"
        yield Step(tag, f"kernel {index}", computed.get(index, ()), times[i], where)


def length_of(ran: list[Told], start: int) -> int:
    """Kernels of the piece that begins there."""
    end = start + 1
    while end < len(ran) and ran[end][1] == KERNEL and ran[end][2] > 0:
        end += 1
    return end - start


def computed_by(kernels: list[str], nodes: list[tuple[str, str]]) -> dict[int, tuple[str, ...]]:
    """The node that each kernel computes, where there are as many of a family as nodes; both are in order."""
    found: dict[int, tuple[str, ...]] = {}
    for tags, ops in FAMILIES:
        mine = [i for i, tag in enumerate(kernels) if tag.startswith(tags)]
        theirs = [name for name, op in nodes if op in ops]
        if len(mine) == len(theirs):
            found |= {i: (name,) for i, name in zip(mine, theirs, strict=True)}
    return found
