"""The kinds of parts. A part is cheap to make: constructing one imports no framework."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.figures import Figure
from ecgedge.api.graph import Graph
from ecgedge.api.measured import Blocks, Measured
from ecgedge.api.options import Option, Value
from ecgedge.api.precisions import Precision
from ecgedge.api.profile import Profile
from ecgedge.api.taps import Taps
from ecgedge.api.training import Fitted, TrainingContext, TrainingSet
from ecgedge.errors import EcgEdgeError

ANY = "*"  # in ``accepts``: every format
PARITY_BEATS = 64


@dataclass(frozen=True)
class Context:
    """What a conversion may need, and nothing else.

    Attributes:
        beats: calibration beats ``(N, C, L)`` float32, from the training split, all classes.
        labelled: training beats ``(N, C, L)`` float32 and their class indices ``(N,)``, for a quantizer that
            ``judges``.
        seed: for whatever is drawn at random.
        batch: the batch of the file where its format wants a fixed one.
        options: of the part, by name.
    """

    beats: np.ndarray
    seed: int = 0
    batch: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    labelled: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def parity_beats(self) -> np.ndarray:
        """The beats ``(n, C, L)``, evenly spaced among ``beats``, on which an exporter proves that its file answers as
        its source does: enough to see a wrong conversion. Who asked for the file compares it on test beats."""
        count = len(self.beats)
        return self.beats[np.linspace(0, count - 1, min(count, PARITY_BEATS)).astype(int)]


class Part(ABC):
    """What all kinds share.

    Attributes:
        name: unique within the kind.
        needs: top-level import names, looked up but never imported before the part works.
        libraries: distributions whose versions change what the part makes; kept in the record of
            whatever it makes, and in its store key.
        environment: the name of the Python environment that it works in; None: that of ecgedge. The
            file ``ENVIRONMENT.lock`` beside its module holds the requirements.
        needs_network: it talks to another machine, a board or a service, while it works. Else its process has no
            network, where the system allows that.
        options: what a user may choose of it, ``--option NAME.OPTION=VALUE``; of a model, for its training.
        precisions: what a quantizer's ``precision``, or a runtime's ``computes``, means where that is none that is
            built in: files of it are checked, explained and compared by that.
    """

    name: str
    needs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    environment: str | None = None
    needs_network: bool = False
    options: tuple[Option, ...] = ()
    precisions: tuple[Precision, ...] = ()
    kind: ClassVar[str]

    @property
    def defaults(self) -> dict[str, Value | None]:
        """What holds of each option where the user chooses nothing."""
        return {option.name: option.default for option in self.options}


class Model(Part):
    """A network that can be built and trained, and perhaps trained weights for it.

    A model of another format than ``torch`` can be trained where it has ``fit``, ``save``, ``load`` and ``predict``.

    Attributes:
        task: ``"classification"`` or ``"anomaly"``.
        produces: the format of its checkpoints.
        min_length: the shortest beat that it takes, in samples.
        leads: that a beat has for it; None: any number, and ``build`` takes the option ``leads``, which is left out for
            one lead.
        recipe: what ``ecgedge train`` changes of its default recipe for this model, by the names of
            the fields of ``Recipe``.
        build_options: fields of the recipe that ``build`` takes as options of the same name, such as ``"dropout"``.
        heeds: fields of the recipe that a ``fit`` of its own heeds; ``(ANY,)``: all that ecgedge's own loop heeds. The
            user is told where an option of ``ecgedge train`` changes nothing.
    """

    kind = "model"
    task: str = "classification"
    produces: str = "torch"
    min_length: int = 1
    leads: int | None = 1
    recipe: Mapping[str, Any] = {}
    build_options: tuple[str, ...] = ()
    heeds: tuple[str, ...] = ()

    @abstractmethod
    def build(self, classes: int, length: int, **options: Any) -> Any:
        """A fresh network for inputs ``(N, leads, length)`` float32.

        A classifier gives logits ``(N, classes)``, an anomaly model a reconstruction
        ``(N, leads, length)``, or flat ``(N, leads * length)``. For the ``torch`` format it is a ``torch.nn.Module``.

        Args:
            options: what the checkpoint keeps of them, see ``Fitted``; none where the network is only looked at.
        """

    def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
        """Train a network on all of ``data``; ecgedge cross-validates, scores and stores what comes of it.

        Here ``build`` makes it, from ``build_options`` of the recipe and from the model's own ``options``, and
        ecgedge's own loop trains it. A model with a training of its own, such as a closed form, trees or another
        framework, overrides this. It is called once for each left-out fold and once for all training beats, and the
        same seed should give the same weights.

        Raises:
            EcgEdgeError: nothing can come of this data or recipe.
        """
        options = {name: getattr(context.recipe, name) for name in self.build_options} | dict(context.options)
        options |= self.for_leads(data.leads)
        network = self.build(data.classes, data.length, **options)
        context.loop(network, data, context.recipe)
        return Fitted(network, options)

    def save(self, network: Any, folder: Path) -> Sequence[str]:
        """Write a trained network into the folder of its checkpoint; the names of its files there.

        ecgedge does it for the format ``torch``, as for ``load`` and ``predict``.
        """
        raise TypeError(f"model {self.name} does not say how {self.produces} is saved")

    def load(self, checkpoint: Artifact) -> Any:
        """The network in a checkpoint, whose files ``save`` wrote into the folder ``checkpoint.path``."""
        raise TypeError(f"model {self.name} does not say how {self.produces} is loaded")

    def predict(self, network: Any, x: np.ndarray) -> np.ndarray:
        """What a network, fitted or loaded, answers to beats ``(N, C, L)`` float32: see ``build``; float32 too."""
        raise TypeError(f"model {self.name} does not say how {self.produces} answers")

    def pretrained(self) -> Path | None:
        """The folder of the checkpoint shipped with the part, if there is one."""
        return None

    def for_leads(self, leads: int) -> dict[str, int]:
        """What ``build`` is told of the leads of a beat: nothing where the model has a number of its own, or of one."""
        return {} if self.leads is not None or leads == 1 else {"leads": leads}

    @property
    def fits_itself(self) -> bool:
        """Whether it brings a training of its own."""
        return type(self).fit is not Model.fit


class Exporter(Part):
    """Turns one format into another.

    Attributes:
        accepts, produces: formats.
        fixed_batch: it writes ``context.batch`` into the file.
        refuses: precisions of sources that it cannot turn into the new format at all, with one line that says so and
            what to bring instead: such a file is refused, or its cell skipped, before anything is converted.
        wants: graph passes for the ONNX files that it gets, by name and in order.
    """

    kind = "exporter"
    accepts: tuple[str, ...]
    produces: str
    fixed_batch: bool = False
    refuses: Mapping[str, str] = {}
    wants: tuple[str, ...] = ()

    @abstractmethod
    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        """Write ``source`` in the new format and prove on ``context.parity_beats`` that it answers the same.

        Args:
            source: in one of the formats in ``accepts``.
            out: a path that does not exist yet, in a folder that does.

        Raises:
            ConversionError: the result is wrong.
        """


class Quantizer(Part):
    """Gives an exported model its precision; the last step of every route.

    Attributes:
        precision: ``"fp32"``, ``"fp16"``, ``"dynamic"``, ``"full-int8"``, or one of its own, see ``precisions``.
        accepts: formats; ``ANY`` for all.
        produces: the format it writes; None: that of its source.
        fixed_batch: it writes ``context.batch`` into the file.
        calibrates: what it makes depends on ``context.beats``.
        judges: what it makes depends on ``context.labelled`` as well.
        on_request: the matrix leaves it out unless its name or precision is asked for.
        wants: graph passes for the ONNX files that it gets, by name and in order; None: those that the
            runtime wants, which runs what comes out.
    """

    kind = "quantizer"
    precision: str
    accepts: tuple[str, ...]
    produces: str | None = None
    fixed_batch: bool = False
    calibrates: bool = False
    judges: bool = False
    on_request: bool = False
    wants: tuple[str, ...] | None = None

    def settle(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as they are used here: what hangs on this machine is decided, so that it is in the store key.

        Args:
            options: those that the user gave.
        """
        return dict(options)

    @abstractmethod
    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        """As ``Exporter.convert``; answers may change by what the precision costs."""


class GraphPass(Part):
    """Changes an ONNX graph so that its consumer runs it better, with the same answers.

    It runs in the process of ecgedge itself, in no environment of its own. That the answers stay is proved on beats
    whenever it was applied; where they move, or it raises, it is left out, and a line says so.
    """

    kind = "pass"
    needs = ("onnx_ir",)

    @abstractmethod
    def apply(self, model: Any, batch: int, length: int | None) -> None:
        """Change an ``onnx_ir.Model`` in place, and leave alone what it does not know.

        Args:
            model: with the shapes of its values inferred.
            batch: of the file, where its consumer fixes one.
            length: of the beats, in samples; None: not known.
        """


@dataclass(frozen=True)
class Family:
    """Kernels of a runtime that may round otherwise than its others.

    Attributes:
        name: one word, as a table has it.
        about: whose kernels they are, a few words.
        options: of the runtime, that choose them.
    """

    name: str
    about: str
    options: Mapping[str, Value] = field(default_factory=dict)


class Session(ABC):
    """A loaded model. ``bind`` and ``fetch`` are the host's work, ``invoke`` the model's time.

    Attributes:
        batch: beats a call; None: any number.
        copies: where beats go to a device with a memory of its own and answers come back: ``"outside"`` of the time
            of ``invoke``, in ``bind`` and ``fetch``, or ``"inside"``; None: nothing is copied.
    """

    batch: int | None = None
    copies: str | None = None

    @abstractmethod
    def bind(self, x: np.ndarray) -> None:
        """Hand over beats ``(N, C, L)`` float32, turned into the layout and type that the file wants."""

    @abstractmethod
    def invoke(self) -> None:
        """Run the model on what was bound."""

    @abstractmethod
    def fetch(self) -> np.ndarray:
        """The outputs as float32: ``(N, classes)`` scores, or ``(N, C, L)`` reconstructions of C leads."""

    def graph(self) -> Graph | None:
        """The operations as they really run, and the weights of the file; None: the runtime does not tell.

        Called after a call was made, once, and never while something is timed: it may be slow.
        """
        return None

    def profile(self, calls: int) -> Profile | None:
        """What each operation takes on the beats that are bound, over so many calls; None: the runtime does not tell.

        Called after a call was made, in a process that is asked for nothing else. Its nodes are those of ``graph``.
        """
        return None

    def figures(self) -> Mapping[str, int | float | str]:
        """What the runtime knows of this file on this device and nobody else measures, by name; kept in its row.

        Called as ``graph`` is. Those that ``Runtime.figures`` declares have the unit that it says; the names of others
        say theirs: ``arena_bytes``.
        """
        return {}

    def measured(self) -> Measured | None:
        """What the device measured itself of the calls of ``invoke`` since this was last asked; None: nothing, and
        this process's clock tells their time.

        Asked before a number of calls, whose answer is thrown away, and once after them; never between two of them.
        A session that measures itself gives the same names each time, and as many times as there were calls.
        """
        return None

    def close(self) -> None:  # noqa: B027  (most sessions have nothing to give back)
        """Give back what the session holds."""


class Runtime(Part):
    """Loads and runs artifacts on a device.

    Attributes:
        device: ``"cpu"``, ``"cuda"``, or a name of its own.
        accepts: formats.
        suffixes: of the files that ``inspect`` can read, with the dot.
        folders: names of files by which a folder that ``inspect`` can read is told.
        on_request: the matrix leaves it out unless its name or its format is asked for, or the user's own file is in
            that format; answers it gives always.
        computes: the precision that it computes float32 files in, where that is not float32, such as ``"tf32"``, or
            one of its own, see ``precisions``: their answers are held to the limit of that.
        figures: of those that its sessions tell, what can be required, ranked by and shown.
        refuses: precisions whose multiplications its device cannot do at all, with one line that says so and who
            could: such a cell is skipped before anything is converted. An empty line leaves it out without a word:
            another runtime does the same, and its row says it.
        wants: graph passes for the ONNX files that it runs, by name and in order; they are applied
            before the quantizer, where that has no wish of its own.
        blocks: the blocks of calls that its sessions are timed in; None: as all are.
        emulated: the core that an emulator plays; its answers and figures are told, and nothing is timed. None: it runs
            on what it says.
        families: its kernels, those first that run where nothing is chosen; ``ecgedge portability`` compares their
            answers. Empty: it has one.
    """

    kind = "runtime"
    device: str = "cpu"
    computes: str | None = None
    figures: tuple[Figure, ...] = ()
    refuses: Mapping[str, str] = {}
    accepts: tuple[str, ...]
    suffixes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    on_request: bool = False
    wants: tuple[str, ...] = ()
    blocks: Blocks | None = None
    emulated: str | None = None
    families: tuple[Family, ...] = ()

    def available(self) -> str | None:
        """Why it cannot run here, one line; None where it can. May import its library."""
        return None

    def make_whole(self, path: Path, output: str | None, out: Path) -> Path:
        """A file that the user brought as ``inspect`` is to read it: all of it in one file, with one output.

        Args:
            output: the name of that which is wanted; None: that which alone can be an answer.
            out: where to write it, if it is not so already; that does not exist yet.

        Returns:
            ``path`` itself, or ``out``.

        Raises:
            EcgEdgeError: a part of it is missing; several outputs can be the answer, or none has that name.
        """
        if output is not None:
            raise EcgEdgeError(f"runtime {self.name} takes files of one output", "leave --output-name out")
        return path

    def code_in(self, path: Path) -> str | None:
        """What code of its own a user's file would run when it is loaded, as an end of "it holds ..."; None: none.

        Tell it without running any. Where there is some, ``inspect`` is called only for a user who trusts the file,
        and ``Artifact.trusted`` tells ``load`` so.

        Raises:
            EcgEdgeError: the file is damaged, or cannot be told.
        """
        return None

    def inspect(self, path: Path) -> Artifact:
        """Read the record of a file that the user brought, or tell it from the file itself.

        Raises:
            EcgEdgeError: the file is damaged, or cannot be told.
        """
        raise TypeError(f"runtime {self.name} reads no files")

    @abstractmethod
    def load(self, artifact: Artifact, threads: int) -> Session:
        """Open an artifact in one of the formats in ``accepts`` with that many threads.

        Those of ``options`` that the user asked for come as keyword arguments, for runtimes that have any.
        """

    def taps(self, artifact: Artifact, threads: int) -> Taps | None:
        """Open an artifact so that its inner tensors can be read; None: this runtime cannot, or not of this file.

        The options of one of its ``families`` may come as keyword arguments, as for ``load``.
        """
        return None
