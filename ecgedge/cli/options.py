"""Options that several commands share, and what they mean together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from ecgedge.errors import EcgEdgeError, cut

if TYPE_CHECKING:
    from ecgedge.data.readers import Columns
    from ecgedge.run import Told
    from ecgedge.workers.client import Limits


class FiniteRange(click.FloatRange):
    """A range of numbers; nan and inf, which click lets pass, are in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no finite number.", param, ctx)
        return found


MOST_BEATS = 1 << 20  # a call
LAYOUTS = ("NCL", "NLC")  # of arrays with leads
NORMALIZE = "ecgedge.normalize"  # in the context's meta, which all commands of one call share
COLUMNS = "ecgedge.columns"  # there too: what the user says of the columns of a table, by option
TOLD = "ecgedge.told"  # there too: what the user says of a file without a record


def keep_normalize(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    ctx.meta[NORMALIZE] = wanted or ctx.meta.get(NORMALIZE, False)


normalize_option = click.option(
    "--normalize", is_flag=True, expose_value=False, callback=keep_normalize,
    help="Bring each beat to mean 0 and standard deviation 1, as the built-in weights expect.",
)  # fmt: skip


def keep_columns(ctx: click.Context, parameter: click.Parameter, value: str | tuple[str, ...] | None) -> None:
    said = ctx.meta.setdefault(COLUMNS, {})
    said[parameter.name] = (list(value) if isinstance(value, tuple) else value) or said.get(parameter.name)


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--label-column``, ``--ignore-column``, ``--group``, ``--leads`` and ``--layout``.

    ``told_columns`` has what was said.
    """
    label = click.option(
        "--label-column", metavar="NAME|N|last|N-M", expose_value=False, callback=keep_columns,
        help="Read the labels of a table from this column, by its name or its number from 1, or from several of 0 and "
        "1, as A,B,C or 6-8. Default: found by its name, else guessed, and the guess is printed.",
    )  # fmt: skip
    ignore = click.option(
        "--ignore-column", metavar="NAME|N", multiple=True, expose_value=False, callback=keep_columns,
        help="Leave this column of a table out: it holds no samples, as a patient's number. May be given again.",
    )  # fmt: skip
    group = click.option(
        "--group", metavar="NAME|N", expose_value=False, callback=keep_columns,
        help="Read the patients of a table from this column; no patient is in both parts of a split or fold.",
    )  # fmt: skip
    leads = click.option(
        "--leads", metavar="NAME|N,...", expose_value=False, callback=keep_columns,
        help="Use these leads, by name or number from 1, in that order, as in II,V1. Default: all.",
    )  # fmt: skip
    layout = click.option(
        "--layout", type=click.Choice(LAYOUTS), expose_value=False, callback=keep_columns,
        help="Read arrays as beats (N), leads (C) and samples (L) in this order. Default: told from its shape.",
    )  # fmt: skip
    return label(ignore(group(leads(layout(command)))))


def label_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--label-file`` and ``--class-names``; ``told_columns`` has what was said."""
    beside = click.option(
        "--label-file", metavar="FILE", expose_value=False, callback=keep_columns,
        help="Read the labels of an .npy from this .npy, or from a text with one a line. Default: y.npy or NAME_labels "
        "beside it.",
    )  # fmt: skip
    names = click.option(
        "--class-names", metavar="FILE", expose_value=False, callback=keep_columns,
        help="Call the classes as this file says: a name a line in the order of the labels, label,name lines, or JSON. "
        "Labels of one name become one class; a list of the labels themselves gives their order.",
    )  # fmt: skip
    return beside(names(command))


def told_columns() -> Columns:
    """What the user said of the columns of a table, with ``--label-column`` and ``--ignore-column``, and of leads, with
    ``--leads`` and ``--layout``."""
    from ecgedge.data.readers import Columns

    context = click.get_current_context(silent=True)
    said = context.meta.get(COLUMNS, {}) if context else {}
    return Columns(
        said.get("label_column"),
        tuple(said.get("ignore_column") or ()),
        split_names(said.get("leads"), "--leads"),
        said.get("layout"),
        said.get("group"),
        said.get("label_file"),
        said.get("class_names"),
    )


def asked_of_columns() -> Mapping[str, Any]:
    """What the user said of the columns of a table and of leads, by the names that requests have for it."""
    columns = told_columns()
    return {
        "label_column": columns.label,
        "ignore_columns": columns.ignore,
        "leads": columns.leads,
        "layout": columns.layout,
        "group_column": columns.group,
        "label_file": columns.labels,
        "class_names": columns.classes,
    }


def split_names(text: str | None, option: str) -> tuple[str, ...]:
    """The names in a list with commas; empty where it is not given. Raises EcgEdgeError where one is empty."""
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise EcgEdgeError(f"{option} {cut(text)}: a name is empty", "names with commas between them, such as II,V1")
    return names


def dataset_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--dataset``, which the command gets, and what ``load_data`` heeds: ``--normalize`` and the columns."""
    named = click.option(
        "--dataset",
        metavar="ecg5000|synthetic|PATH",
        help="Read the data from this folder, file or zip. Default: ECGEDGE_DATA, else ECG5000 from data/, the "
        "cache or the archive, else synthetic beats.",
    )
    return named(column_options(label_options(normalize_option(command))))


FORMS = (  # which forms a table has; of what is not named it has all
    click.option("--exporter", "exporters", multiple=True, metavar="NAME",
                 help="Convert through these exporters only."),
    click.option("--format", "formats", multiple=True, metavar="NAME",
                 help="Make files of this format: torch, onnx, tflite, ..."),
    click.option("--quantizer", "quantizers", multiple=True, metavar="NAME",
                 help="Make files of this precision (none, fp16, full-int8, ...), or by this quantizer."),
    click.option("--runtime", "runtimes", multiple=True, metavar="NAME",
                 help="Run files on this runtime: torch, cpu or cuda (both onnxruntime), tflite (LiteRT), ..."),
)  # fmt: skip


def form_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--exporter``, ``--format``, ``--quantizer`` and ``--runtime``, each of which may be given again."""
    for option in reversed(FORMS):
        command = option(command)
    return command


threads_option = click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Run each model with so many threads."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed all that is drawn at random."
)
calibration_option = click.option(
    "--calibration", type=click.IntRange(1), default=400, show_default=True, metavar="N",
    help="Calibrate int8 on so many training beats, stratified.",
)  # fmt: skip
opset_option = click.option("--opset", type=click.IntRange(13, 20), help="Write ONNX files in this opset. Default: 17.")


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--timeout`` and ``--memory``; ``limits_of`` tells what they mean together."""
    timeout = click.option(
        "--timeout", type=FiniteRange(min=0, min_open=True), default=300, show_default=True, metavar="SECONDS",
        help="End a step in a child process after so long: opening, converting, timing a file, running it on beats.",
    )  # fmt: skip
    memory = click.option(
        "--memory",
        type=click.IntRange(1),
        metavar="MB",
        help="Let a child take so much memory. Default: no limit.",
    )
    return timeout(memory(command))


def limits_of(timeout: float, memory: int | None) -> Limits:
    """What a child process may take."""
    from ecgedge.workers.client import Limits

    return Limits(timeout, memory and memory * 1_000_000)


def mlflow_option(name: str) -> Callable[..., Any]:
    """``--mlflow [URI]``: the parameter ``name``, None where it is not given."""
    return click.option("--mlflow", name, is_flag=False, flag_value="sqlite:///mlflow.db", metavar="[URI]",
                        help="Log the result to the MLflow server or database at this URI. Without a URI it goes to "
                             "sqlite:///mlflow.db.")  # fmt: skip


def quantizer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--max-drop`` and ``--reduce-range``; ``options_of`` hands them on."""
    drop = click.option(
        "--max-drop", type=FiniteRange(min=0), metavar="POINTS",
        help="Let the mixed precision lose so much on training beats, in hundredths of accuracy or AUROC (0.1 is 0.001 "
             "AUROC). Default: 0.1.",
    )  # fmt: skip
    narrow = click.option(
        "--reduce-range/--no-reduce-range", default=None,
        help="Keep int8 weights of ONNX files in 7 bits, or not. Default: where this processor lacks VNNI or dotprod.",
    )  # fmt: skip
    return drop(narrow(command))


def read_options(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """What ``--option PART.NAME=VALUE`` says, by ``PART.NAME``."""
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or "." not in key.strip("."):
            raise EcgEdgeError(
                f"--option {cut(text)}: a part, an option and a value are wanted", "such as --option onnx.opset=18"
            )
        if key in found:
            raise EcgEdgeError(f"--option {key} is there twice", "leave one out")
        found[key] = value
    return found


part_option = click.option(
    "--option", "chosen", multiple=True, callback=read_options, metavar="PART.NAME=VALUE",
    help="Set an option of a part; ecgedge plugins show PART lists them.",
)  # fmt: skip


def options_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options of parts among those of a command; what was not asked for is not among them."""
    known = ("opset", "max_drop", "reduce_range", "cuda_graph")
    return {name: asked[name] for name in known if asked.get(name) is not None} | asked["chosen"]


SHARE = FiniteRange(0, 1, max_open=True)
RECIPE = (  # how to train, as ``api.training.Recipe`` has it; None: as the model's own recipe says
    click.option("--epochs", type=click.IntRange(1), help="Pass over the training beats so many times."),
    click.option(
        "--lr",
        type=FiniteRange(min=0, min_open=True),
        help="Peak of the learning rate, which rises and falls once (one-cycle schedule).",
    ),
    click.option("--batch", type=click.IntRange(2), help="Learn from so many beats a step."),
    click.option("--dropout", type=SHARE, help="Drop this share of the activations in training; 0: none."),
    click.option("--decay", type=FiniteRange(0), help="Weight decay of AdamW."),
    click.option("--teacher/--no-teacher", default=None, help="Learn from a teacher's answers, or from the labels."),
    click.option(
        "--temperature",
        type=FiniteRange(min=0, min_open=True),
        help="Divide the teacher's scores by this before they become probabilities.",
    ),
    click.option(
        "--mix", type=FiniteRange(0, 1), help="Let this share of the beats that the teacher answers be mixed of two."
    ),
    click.option("--smoothing", type=SHARE, help="Smooth the labels by this share, without a teacher."),
    click.option(
        "--objective",
        type=click.Choice(["accuracy", "balanced"]),
        help="Aim at accuracy, all beats counting alike, or balanced, rare classes counting more.",
    ),
    click.option(
        "--balance", type=FiniteRange(0, 1), help="Draw beats by class: 0 as classes occur, 1 all classes alike."
    ),
    click.option("--average", type=SHARE, help="Decay of the moving average of the weights, a step; 0: no average."),
    click.option(
        "--augment",
        type=FiniteRange(0),
        help="Change the beats so strongly (shift, warp, scale, noise); 0: not at all.",
    ),
    click.option("--denoise", type=FiniteRange(0), help="Standard deviation of the noise on an autoencoder's input."),
    click.option("--window", type=click.IntRange(1), help="Average an autoencoder's residual over so many samples."),
    click.option("--amp/--no-amp", default=None, help="Compute in mixed precision where the machine is made for it."),
    click.option("--normal", metavar="CLASS", help="Let an autoencoder learn the beats of this class."),
    click.option("--half/--no-half", default=None, help="Store the weights in half precision."),
    click.option("--compile/--no-compile", default=None, help="Train through torch.compile."),
)


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that change a recipe."""
    for option in reversed(RECIPE):
        command = option(command)
    return command


def read_sizes(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """The numbers in ``--batch-sizes``, from the smallest up; None where it is not given."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isascii() and word.isdigit() and 0 < int(word) <= MOST_BEATS for word in words):
        told = f"numbers from 1 to {MOST_BEATS:,}, such as 1,16,64"
        raise EcgEdgeError(f"--batch-sizes {text}: these are no numbers of beats", told)
    return tuple(sorted({int(word) for word in words}))


batch_sizes_option = click.option(
    "--batch-sizes", callback=read_sizes, metavar="N,...",
    help="Measure the throughput with so many beats a call. Default: 1,16,64, and on a GPU more, as long as that pays.",
)  # fmt: skip
cuda_graph_option = click.option(
    "--cuda-graph", is_flag=True, default=None,
    help="On onnxruntime's GPU runtimes: capture each file's kernels as one CUDA graph, and replay it.",
)  # fmt: skip


def split_passes(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """The names in ``--passes``; None where it is not given."""
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def passes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--passes`` and ``--no-optimize``; ``chosen_passes`` tells what they mean together."""
    named = click.option(
        "--passes", metavar="NAME,...", callback=split_passes,
        help="Run these graph passes on ONNX files, in that order. Default: those that their consumers want.",
    )  # fmt: skip
    return named(click.option("--no-optimize", is_flag=True, help="Run no graph passes.")(command))


def chosen_passes(passes: Iterable[str] | None, no_optimize: bool) -> tuple[str, ...] | None:
    """The graph passes that are asked for; None: what the consumers want."""
    if no_optimize and passes is not None:
        raise EcgEdgeError("--passes names graph passes, --no-optimize asks for none", "leave one of them out")
    return () if no_optimize else None if passes is None else tuple(passes)


def keep_told(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    ctx.meta.setdefault(TOLD, {})[parameter.name] = value


output_name_option = click.option(
    "--output-name", "output", expose_value=False, callback=keep_told, metavar="NAME",
    help="Take this output as the answer, where the file gives several.",
)  # fmt: skip


def lead_to_output_name(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    """Raise EcgEdgeError for the word that ``--output-name`` had before, where a command has no forms of its print."""
    if value == "json" and any("--json" in parameter.opts for parameter in ctx.command.params):
        raise EcgEdgeError(f"ecgedge {ctx.command.name} prints a text, or JSON", "--json")
    if value is not None:
        raise EcgEdgeError("--output-name says which output of a file is the answer", f"--output-name {cut(value)}")


def named_output(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--output-name``. Where a command has no ``--output`` of its own, that word leads to it."""
    command = output_name_option(command)
    if any("--output" in parameter.opts for parameter in getattr(command, "__click_params__", ())):
        return command
    return click.option("--output", "not_output", hidden=True, expose_value=False, callback=lead_to_output_name)(
        command
    )


trust_option = click.option(
    "--trust", is_flag=True, expose_value=False, callback=keep_told,
    help="Load a file that brings code of its own, and run that code.",
)  # fmt: skip


def told_files() -> Told:
    """What the user said of files that carry no record."""
    from ecgedge.run import Told

    context = click.get_current_context(silent=True)
    said = context.meta.get(TOLD, {}) if context else {}
    return Told(**{each.name: said[each.name] for each in fields(Told) if each.name in said})


def trusted() -> bool:
    """Whether the user vouched for code in files."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(TOLD, {}).get("trust"))


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a file that carries no record cannot tell; read by ``fit_to_data``, not handed to the command."""
    options = [
        click.option(
            "--task",
            type=click.Choice(["classification", "multilabel", "binary", "anomaly"]),
            help="Say what the file does, where it does not tell.",
        ),
        click.option("--normal", default="1", show_default=True, help="Name the class that the autoencoder learned."),
        click.option(
            "--window",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Average the autoencoder's residual over so many samples, then square it.",
        ),
        click.option(
            "--input-scale", type=FiniteRange(min=0, min_open=True), help="Scale the file's int8 input by this."
        ),
        click.option(
            "--input-zero-point",
            type=int,
            default=0,
            show_default=True,
            help="Take this zero point of its int8 input.",
        ),
    ]
    command = named_output(command)
    for option in reversed(options):
        command = option(command)
    for parameter in command.__click_params__[-len(options) :]:  # type: ignore[attr-defined]
        parameter.expose_value, parameter.callback = False, keep_told
    return trust_option(command)
