"""What a matrix is asked for: made by the command line and by scripts alike, and kept in the run's folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgedge.errors import EcgEdgeError
from ecgedge.files.schema import (
    SchemaError,
    flag,
    free,
    list_of,
    maybe,
    number,
    one_of,
    record,
    scalar,
    table_of,
    whole,
    words,
)

PRESETS = ("quick", "full")
PRINTED = ("table", "md", "csv", "json", "html")  # as ``ecgedge.report`` has them
MANY = 1_000_000
LINE, WORD = words(10_000), words(300)
LINES = list_of(LINE, MANY)
COUNT = whole(1, 10**9)


@dataclass(frozen=True)
class Told:
    """What the user says of files that carry no record.

    Attributes:
        task: ``"classification"``, ``"multilabel"``, ``"binary"``, ``"anomaly"``, or None: it is told from the outputs.
        normal: the class that an autoencoder learned.
        window: samples that its residual is averaged over.
        input_scale, input_zero_point: of an integer input.
        output: the one that is the answer, where there are several.
    """

    task: str | None = None
    normal: str = "1"
    window: int = 1
    input_scale: float | None = None
    input_zero_point: int = 0
    output: str | None = None


@dataclass(frozen=True)
class MatrixRequest:
    """What a matrix is asked for. Every field has a default, which is that of ``ecgedge matrix``.

    Names may come as any sequence, or as one text; files and folders as paths. They are kept as tuples of texts.

    Attributes:
        data: where it lies, ``"ecg5000"``, ``"synthetic"``, or None: the first that is found.
        normalize: bring each beat to mean 0 and standard deviation 1.
        label_column, ignore_columns: of a table, by name or number.
        leads: those that are wanted, by name or number from 1, in that order; empty: all.
        layout: of an array of beats, leads and samples, ``"NCL"`` or ``"NLC"``; None: told from its shape.
        group_column: of a table: that of the patients, of whom none is in both parts of a split or fold.
        label_file: the labels of an ``.npy``.
        class_names: a file with what classes are called.
        models: names of models, or folders of checkpoints; with no ``files`` either, all models.
        files: made elsewhere.
        told: what the user says of these.
        exporters, formats, quantizers, runtimes: cells have one of each; empty: any.
        devices: where cells run: names of boards, and ``host``, which is this machine; empty: this machine.
        preset: ``"quick"``: fewer beats and calls, or ``"full"``.
        seed: of all that is drawn at random.
        threads: of each model.
        calibration: training beats that int8 is calibrated on.
        batch_sizes: whose throughput is measured; None: the usual ones.
        passes: graph passes on ONNX; None: those that the consumers want.
        options: of the parts, by ``PART.NAME``, or by ``NAME`` of all parts that have it.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.
        portability: also say of each file whether it answers alike with other kernels, and on other processors.
        requirements, optimize: by which a row is chosen; see ``ecgedge.choose``.
        relative_to: the row or form that times are told against; None: each against its fp32 form.
        printed: the form of what a command prints of the run, such as ``"table"`` or ``"json"``.
        brought: the folder of a run whose files are measured where they cannot be made here.
        sent: the run is to go to MLflow. Where that is, is not kept.
        place: the folder that relative names are of.

    Raises:
        EcgEdgeError: a value is none that a run can have. Whether parts of these names exist is told by the plan.
    """

    data: str | None = None
    normalize: bool = False
    label_column: str | None = None
    ignore_columns: Sequence[str] = ()
    leads: Sequence[str] = ()
    layout: str | None = None
    group_column: str | None = None
    label_file: str | None = None
    class_names: str | None = None
    models: Sequence[str] = ()
    files: Sequence[str] = ()
    told: Told = field(default_factory=Told)
    exporters: Sequence[str] = ()
    formats: Sequence[str] = ()
    quantizers: Sequence[str] = ()
    runtimes: Sequence[str] = ()
    devices: Sequence[str] = ()
    preset: str = "full"
    seed: int = 0
    threads: int = 1
    calibration: int = 400
    batch_sizes: Sequence[int] | None = None
    passes: Sequence[str] | None = None
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    timeout: float = 300
    memory: int | None = None
    portability: bool = False
    requirements: Sequence[str] = ()
    optimize: str | None = None
    relative_to: str | None = None
    printed: str = "table"
    brought: str | None = None
    sent: bool = False
    place: str = field(default_factory=lambda: str(Path.cwd()))

    def __post_init__(self) -> None:
        given = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        for name in SEVERAL:
            given[name] = several(given[name])
        for name in ("data", "label_column", "group_column", "label_file", "class_names", "brought", "place"):
            given[name] = text_of(given[name])
        if type(sizes := given["batch_sizes"]) is int:
            given["batch_sizes"] = (sizes,)
        told = self.told
        given["told"] = dataclasses.asdict(told) if isinstance(told, Told) else told
        try:
            found = REQUEST(given, "")
        except SchemaError as error:
            raise EcgEdgeError(f"no such matrix can be measured: {error}", "see ecgedge.MatrixRequest") from error
        found["batch_sizes"] = found["batch_sizes"] and tuple(sorted({*found["batch_sizes"]}))
        for name, value in found.items():
            object.__setattr__(self, name, Told(**value) if name == "told" else value)

    @property
    def wants_choice(self) -> bool:
        """Whether a row is to be chosen."""
        return bool(self.requirements) or self.optimize is not None

    def record(self) -> dict[str, Any]:
        """The request as JSON has it."""
        return dataclasses.asdict(self) | {"options": dict(self.options)}

    @classmethod
    def from_record(cls, told: Any) -> MatrixRequest:
        """Read back what ``record`` gave. Raises SchemaError, a ValueError, on any other."""
        found = {key: value for key, value in REQUEST(told, "request").items() if key in FIELDS}
        named = {key: value for key, value in found["told"].items() if key in TOLD_FIELDS}
        return cls(**{**found, "told": Told(**named)})


def several(names: Any) -> Any:
    """Names as a tuple of texts, of one name as well; what is none stays as it is, to be refused."""
    if isinstance(names, str | os.PathLike):
        return (text_of(names),)
    return tuple(map(text_of, names)) if isinstance(names, Iterable) and not isinstance(names, Mapping) else names


def text_of(name: Any) -> Any:
    """A path, or a number as columns have it, as text; what is neither stays as it is."""
    return str(name) if isinstance(name, os.PathLike) or type(name) is int else name


SEVERAL = (
    "ignore_columns", "leads", "models", "files", "exporters", "formats", "quantizers", "runtimes", "devices",
    "requirements", "passes",
)  # fmt: skip
FIELDS = {each.name for each in dataclasses.fields(MatrixRequest)}
TOLD_FIELDS = {each.name for each in dataclasses.fields(Told)}
ANY = free(most=50_000_000)  # a later version may say more
REQUEST = record(
    {
        "data": maybe(LINE),
        "normalize": flag,
        "label_column": maybe(LINE),
        "ignore_columns": list_of(LINE, 10_000),
        **dict.fromkeys(("models", "files", "exporters", "formats", "quantizers", "runtimes", "requirements"), LINES),
        "told": record(
            {
                "task": maybe(one_of("classification", "multilabel", "binary", "anomaly")),
                "normal": LINE,
                "window": whole(1, 2**20),
                "input_scale": maybe(number(above=0, below=1e15)),
                "input_zero_point": whole(-(2**31), 2**31),
                "output": maybe(LINE),
            },
            others=ANY,
        ),
        "preset": one_of(*PRESETS),
        "seed": whole(0, 2**63 - 1),
        "threads": whole(1, 100_000),
        "calibration": COUNT,
        "batch_sizes": maybe(list_of(whole(1, 2**20), 1000, least=1)),
        "passes": maybe(list_of(WORD, 1000)),
        "options": table_of(scalar(10_000), 1000),
        "timeout": number(above=0, below=1e9),
        "memory": maybe(COUNT),
        "optimize": maybe(WORD),
        "printed": one_of(*PRINTED),
        "sent": flag,
        "place": LINE,
    },
    {  # older requests know none
        "portability": flag,
        "devices": LINES,
        "leads": list_of(LINE, 10_000),
        "layout": maybe(one_of("NCL", "NLC")),
        "relative_to": maybe(LINE),
        "brought": maybe(LINE),
        **dict.fromkeys(("group_column", "label_file", "class_names"), maybe(LINE)),
    },
    others=ANY,
)
