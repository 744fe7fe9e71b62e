"""The documents against the code: what they name exists, and what they show works."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import pytest

import ecgedge
from ecgedge import choose, passes, plugins, testing
from ecgedge.api import figures, graph, parts, precisions, training
from ecgedge.api.measured import Blocks, Measured
from ecgedge.api.profile import Profile, Step
from ecgedge.cli import main as group
from ecgedge.cli.explain import COLUMNS
from ecgedge.data.finding import ECG5000_DIGEST, read_folder
from ecgedge.data.finding import load as load_data
from ecgedge.evaluate import arithmetic, gates, intervals, parity, precision_check, verdicts
from ecgedge.explain import findings, study
from ecgedge.files import arrays, opening, strict_json
from ecgedge.measure import bench, gpu_peaks, peaks, steadiness
from ecgedge.measure.steadiness import kernel, states
from ecgedge.passes import optimize
from ecgedge.report import columns, table
from ecgedge.run import layout, reading
from ecgedge.run.rows import P99_CALLS, TIE
from ecgedge.training import Recipe, batches, teacher
from ecgedge.training.train import THRESHOLD_FOLDS
from tests.pages import DOCS, FENCE, ROOT, blocks, page_id, read

PLUGINS = DOCS / "plugins.md"
PASSES = DOCS / "passes.md"
EXPLAIN = DOCS / "explain.md"
FIGURES = DOCS / "how-figures-are-made.md"
TRAINING = DOCS / "training.md"
CHOOSING = DOCS / "choosing.md"
HOOKS = DOCS / "reference" / "hooks.md"
PYTHON = DOCS / "reference" / "python.md"
TUTORIAL = DOCS / "tutorials" / "your-own-runtime.md"
SLOWER = DOCS / "why-int8-can-be-slower.md"
CARD = ROOT / "data" / "README.md"
FOLDER = DOCS / "run-folder.md"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", CARD, *sorted(DOCS.rglob("*.md"))]
NOT_COMMANDS = {"text", "python", "toml", "json"}  # languages of blocks that hold no command lines


def example(page: Path, name: str) -> str:
    """The code block that follows the comment ``<!-- example: NAME -->``."""
    found = re.search(rf"<!-- example: {re.escape(name)} -->\s+```python\n(.*?)^```", read(page), re.M | re.S)
    assert found, f"{page_id(page)} shows no example {name}"
    return found[1]


def run(*arguments: str | Path, cwd: Path) -> str:
    """The output of a Python process; fails with its errors."""
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as text files, and the example plugin in ``my-plugins``."""
    root = tmp_path_factory.mktemp("docs")
    data, _ = load_data("synthetic")
    (root / "beats").mkdir()
    for name, split in (("TRAIN", data.train), ("TEST", data.test)):
        rows = np.column_stack([split.y + 1, split.x[:, 0]])[:600]
        np.savetxt(root / "beats" / f"MINE_{name}.txt", rows, fmt="%.7e")
    (root / "my-plugins").mkdir()
    (root / "my-plugins" / "nearest_mean.py").write_text(example(PLUGINS, "nearest_mean.py"), encoding="utf-8")
    run("my-plugins/nearest_mean.py", "beats/MINE_TRAIN.txt", "means.npz", cwd=root)
    return root


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_of_the_commands_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert generator().main(["--check"]) == 0, capsys.readouterr().err


def test_stale_pages_of_commands_are_one_line_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generate = generator()
    monkeypatch.setattr(generate, "FOLDER", tmp_path / "commands")
    assert generate.main(["--check"]) == 1  # all are missing
    generate.main([])
    assert generate.main(["--check"]) == 0
    assert {file.stem for file in (tmp_path / "commands").glob("*.md")} == {*group.commands, "index"}
    (tmp_path / "commands" / "gone.md").write_text("a command that is no more")
    monkeypatch.setattr(group.commands["data"].params[0], "help", "another text")
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/commands is stale (data.md, gone.md): run python docs/generate.py\n"
    generate.main([])
    assert generate.main(["--check"]) == 0 and not (tmp_path / "commands" / "gone.md").exists()


def test_commands_below_a_command_are_sections_of_its_page() -> None:
    for name, command in group.commands.items():
        below = list(command.commands) if isinstance(command, click.Group) else []
        heads = re.findall(r"^#+ (.*)$", FENCE.sub("", read(DOCS / "commands" / f"{name}.md")), re.MULTILINE)
        assert heads == [f"ecgedge {name}", *(f"ecgedge {name} {inner}" for inner in sorted(below))]


def test_each_hook_has_a_heading_with_its_signature() -> None:
    functions = [
        node
        for node in ast.parse(read(ROOT / "ecgedge" / "api" / "hookspecs.py")).body
        if isinstance(node, ast.FunctionDef)
    ]
    assert {node.name for node in functions} == set(plugins.HOOKS)
    signatures = [f"{node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}" for node in functions]
    assert re.findall(r"^### `(ecgedge_.*)`$", read(HOOKS), re.MULTILINE) == signatures
    hooks = [node.name for node in functions]
    assert re.findall(r"^::: ecgedge\.api\.hookspecs\.(\w+)$", read(HOOKS), re.MULTILINE) == hooks
    assert re.findall(r"^\| `(ecgedge_\w+)\(\)` \|", read(PLUGINS), re.MULTILINE) == hooks


def test_each_name_that_is_offered_is_in_the_reference() -> None:
    told = set(re.findall(r"^::: (ecgedge[\w.]*)$", read(HOOKS) + read(PYTHON), re.MULTILINE))
    for name in {*ecgedge.__all__} - {"ANY", "API_VERSION", "ENDS", "hookimpl"}:  # constants, and pluggy's
        offered = getattr(ecgedge, name)
        home = offered.__name__ if inspect.ismodule(offered) else offered.__module__
        assert {home, f"{home}.{name}"} & told, name


def test_the_tutorial_shows_the_files_that_are_tested() -> None:
    """The files themselves; what they do is tested where the page is carried out: test_docs_blocks.py."""
    shown = {Path(block.file).name: block.text for block in blocks(TUTORIAL) if block.file}
    files = {file.name: read(file) for file in sorted((DOCS / "examples").glob("*.py"))}
    assert shown == files
    assert len([line for line in files["my_runtime.py"].splitlines() if line.strip()]) <= 30


def test_the_ratios_of_int8_are_those_of_the_table() -> None:
    rows = [line.split() for line in read(DOCS / "full-matrix.md").splitlines() if line.endswith(" ok")]
    measured = {tuple(row[:3]): row for row in rows}
    told = re.findall(r"^\| `([\w-]+)` \| (\w+) \| ([\w-]+) \| (=?[\d.]+) \|$", read(SLOWER), re.MULTILINE)
    assert len(told) >= 8
    for *form, ratio in told:
        assert measured[tuple(form)][6] == ratio, form


@pytest.mark.parametrize(
    "kind", [parts.Part, parts.Model, parts.Exporter, parts.Quantizer, parts.Runtime, parts.GraphPass]
)
def test_each_attribute_of_a_part_is_in_a_table(kind: type) -> None:
    assert offered(kind) <= documented()


def test_each_attribute_of_a_session_is_in_a_table() -> None:
    assert offered(parts.Session) <= documented()


@pytest.mark.parametrize(
    "kind",
    [
        graph.Node, graph.Weight, graph.Graph, Profile, Step, precisions.Precision, figures.Figure, Measured, Blocks,
    ],
)  # fmt: skip
def test_each_field_of_a_graph_is_in_its_table(kind: type) -> None:
    table = read(PLUGINS).split(f"| of a `{kind.__name__}` | meaning |")[1].split("\n\n")[0]
    heads = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for head in heads for name in re.findall("`(.+?)`", head)} == set(kind.__dataclass_fields__)


def test_the_field_names_of_the_precision_check_are_those_of_the_code() -> None:
    section = read(FIGURES).split("## What the file is")[1].split("\n## Calibration")[0]
    node = graph.Node("conv", "Conv", "engine", "cpu", ("float32",), ("float32",))
    fields = set(precision_check.judge(graph.Graph((node,), ()), precisions.FP32, "cpu").flat)
    assert [name for name in fields - {"status", "reason"} if f"`{name}`" not in section] == []
    claimed = [name for name, each in precisions.BUILT_IN.items() if each.claims]
    assert len(claimed) == 5 and [name for name in claimed if f"| `{name}` |" not in section] == []


def offered(kind: type) -> set[str]:
    """The names that a class itself declares for plugin authors."""
    names = {*kind.__annotations__, *(name for name, value in vars(kind).items() if callable(value))}
    return {name for name in names if not name.startswith("_")} - {"kind"}


def documented() -> set[str]:
    return set(re.findall(r"^\| `(\w+)", read(PLUGINS), re.MULTILINE))


def test_each_contract_is_in_a_table() -> None:
    contracts = {name for name in testing.__all__ if name.endswith("Contract") and name != "Contract"}
    assert contracts <= documented()
    section = read(PLUGINS).split("## Testing a part")[1].split("\n## ")[0]
    for name in contracts:
        given = re.search(rf"^\| `{name}` \| (.+?) \|", section, re.MULTILINE)[1]
        assert [word for word in re.findall(r"`(\w+)[(`]", given) if word != "torch"]
        for word in re.findall(r"`(\w+)[(`]", given):
            assert word == "torch" or hasattr(getattr(testing, name), word), f"{name}.{word}"
    [block] = [body for _, language, body in FENCE.findall(section) if language == "python"]
    for node in ast.parse(block).body:
        if isinstance(node, ast.ImportFrom) and node.module == "ecgedge.testing":
            assert {alias.name for alias in node.names} <= set(testing.__all__)
        if isinstance(node, ast.ClassDef):
            own = {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)}
            own |= {name.id for inner in node.body if isinstance(inner, ast.Assign) for name in inner.targets}
            contract = getattr(testing, ast.unparse(node.bases[0]))
            assert own <= {*dir(contract), *contract.__annotations__, "part"}


@pytest.mark.parametrize("name", passes.NAMES)
def test_each_pass_is_on_its_page_with_the_picture_of_its_module(name: str) -> None:
    told = ast.get_docstring(ast.parse(read(ROOT / "ecgedge" / "passes" / f"{name}.py")), clean=False)
    picture = re.search(r"::\n\n((?: {4}.*\n|\n)+)", told)[1]
    section = read(PASSES).split(f"\n### `{name}`\n")[1].split("\n### ")[0]
    assert f"```text\n{textwrap.dedent(picture).strip(chr(10))}\n```" in section
    assert re.findall(r"^### `(\w+)`$", read(PASSES), re.MULTILINE) == list(passes.NAMES)


def test_the_page_says_who_wants_which_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGEDGE_PLUGINS", "")
    parts = plugins.load()
    wanting = {
        name: part.wants
        for kind in ("exporter", "quantizer", "runtime")
        for name, part in parts.of(kind).items()
        if part.wants
    }
    rows = re.findall(r"^\| (?:exporter|quantizers?|runtimes?) (.+?) \| (.+?) \|$", read(PASSES), re.MULTILINE)
    told = {name: tuple(re.findall("`(.+?)`", names)) for who, names in rows for name in re.findall("`(.+?)`", who)}
    assert told == wanting


def test_the_limits_of_the_passes_are_those_of_the_code() -> None:
    text = " ".join(read(PASSES).split())
    assert f"by more than {optimize.RELATIVE:g} of its range fails" in text
    assert f"by {optimize.ROUNDINGS} roundings of its largest value" in text


def test_the_findings_and_columns_of_explain_are_on_its_page() -> None:
    text = read(EXPLAIN)
    assert re.findall(r"^\| `(\w+)` \|", text.split("## The findings")[1], re.MULTILINE) == [
        check.__name__ for check in findings.FINDINGS
    ]
    heads = [line.split("|")[1] for line in text.split("## The table")[1].splitlines() if line.startswith("| `")]
    assert [name for head in heads for name in re.findall("`(.+?)`", head)][: len(COLUMNS)] == list(COLUMNS)


def test_the_numbers_of_the_page_of_explain_are_those_of_the_code() -> None:
    text = " ".join(read(EXPLAIN).split())
    assert f"product of two matrices of {peaks.SIZE} x {peaks.SIZE}" in text
    agreeing = f"until the four fastest blocks are within {peaks.STABLE:.0%}, for {peaks.SECONDS_MOST:.0f} s at most"
    assert f"blocks of {peaks.BLOCK_SECONDS} s, {agreeing}" in text and peaks.AGREEING == 4
    assert f"half a second and at least {bench.BLOCK_CALLS} calls" in text and study.SECONDS == 0.5
    assert f"less than {study.BUSY:.0%} of a processor" in text
    assert f"takes {findings.WORTH:.0%} of the time or more" in text and f"takes {findings.MUCH:.0%} of the" in text
    assert "less than half of the int8 peak" in text and findings.SLOW == 0.5


def test_the_numbers_of_a_gpu_are_those_of_the_code() -> None:
    text = " ".join(read(FIGURES).split("### On a GPU")[1].split("\n## ")[0].split())
    assert f"grow from {bench.BATCHES[-1]} by four while throughput grows by 10%" in text
    assert (bench.GROWTH, bench.WORTH) == (4, 1.1) and f"up to {bench.LARGEST:,}" in text
    assert "last four times as long" in text and bench.LONGER == 4
    assert f"three looks within {bench.STEADY:.0%}, {bench.CLOCK_SECONDS_MOST:.0f} seconds at most" in text
    assert f"two matrices of {gpu_peaks.SIZE} x {gpu_peaks.SIZE} in" in " ".join(read(EXPLAIN).split())


@pytest.mark.parametrize("kind", [parts.Context, training.TrainingSet, training.TrainingContext])
def test_each_field_of_what_a_part_is_given_is_named(kind: type) -> None:
    text = read(PLUGINS)
    assert [name for name in kind.__dataclass_fields__ if not re.search(rf"`{name}[`(]", text)] == []


@pytest.mark.parametrize("page", [PLUGINS, CARD], ids=page_id)
def test_environment_variables_exist(page: Path) -> None:
    code = "\n".join(read(file) for file in (ROOT / "ecgedge").rglob("*.py"))
    named = set(re.findall(r"\bECGEDGE_[A-Z_]+\b", read(page)))
    assert named and {name for name in named if f'"{name}"' not in code} == set()


def test_what_can_be_required_is_listed() -> None:
    told = set(re.findall("`([^`]+)`", read(CHOOSING).split("## Requirements")[1].split("\n## ")[0]))
    units = {unit for kind in figures.UNITS.values() for unit in kind} - {"", "µs", "µJ", "/s", "beats/s"}
    assert {*choose.METRICS, *choose.requirements.FIELDS, *choose.requirements.OPERATORS} | units <= told


def test_the_columns_of_the_matrix_are_explained() -> None:
    shown = [columns.ROUTE, table.size_ratios([])]
    shown += [column for task in table.TITLES for column in columns.text_columns([], task)]
    heads_of_code = {column.head for column in shown}
    section = read(FIGURES).split("## The columns")[1].split("\n## ")[0]
    heads = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for head in heads for name in re.findall("`(.+?)`", head)]
    assert sorted(named) == sorted(heads_of_code)


def test_the_numbers_of_the_figures_page_are_those_of_the_code() -> None:
    text = read(FIGURES)
    for profile in bench.PROFILES.values():
        assert f"at least {profile.calls:,}, and at least {profile.seconds:g} s" in text
        assert f"at least {profile.bulk_calls}, and at least {profile.bulk_seconds:g} s" in text
    assert f"| rounds | {bench.PROFILES['quick'].rounds} | {bench.PROFILES['full'].rounds} |" in text
    assert f"| {bench.PROFILES['quick'].beats}, stratified | all |" in text
    assert f"at least {bench.WARM_UP_SECONDS:g} seconds, until the medians of three times" in text
    assert f"three times {bench.WARM_UP_CALLS} calls" in text and f"within {bench.STABLE:.0%} of each other" in text
    assert f"at most {bench.WARM_UP_SECONDS_MOST:g} seconds" in text
    assert f"a block of at least {bench.BLOCK_CALLS} calls" in text
    assert f"after {bench.BLOCK_SECONDS_MOST:g} seconds at most" in text
    assert f"run {bench.MEMORY_CALLS} times more" in text
    assert f"less than {bench.RELOAD_MS} ms is loaded anew" in text
    assert "1, 16 and 64 beats a call" in text and bench.BATCHES == (1, 16, 64)
    assert f"from {P99_CALLS:,} timed calls up" in text and f"or than {TIE:.0%} where" in text
    assert f"Where it is above {table.NOISY:.0%}" in text
    assert f"up to {verdicts.LISTED} of them" in text


def test_the_numbers_of_the_states_are_those_of_the_code() -> None:
    text = read(FIGURES)
    quick, full = (steadiness.most_rounds(bench.PROFILES[name].rounds) for name in ("quick", "full"))
    assert f"| rounds at most, on a machine that changes its speed | {quick} | {full} |" in text
    assert f"in {kernel.PIECES} pieces of about 130 us whose median is taken, after {kernel.SETTLING} that" in text
    assert (states.NOISES, states.USUAL, states.ENOUGH, states.LEAST, states.MOST) == (8, 1 / 6, 0.75, 6, 3)
    assert f"at least {states.WIDTH_LEAST:.0%} and at most {states.WIDTH_MOST:.0%}" in text
    assert f"within {states.BETWEEN:.0%} of that of all" in text


def test_the_numbers_of_the_verdicts_are_those_of_the_code() -> None:
    text = " ".join(read(FIGURES).split())
    floors = {name: each.cosine for name, each in precisions.BUILT_IN.items() if each.cosine and name != "mixed"}
    for precision, floor in floors.items():
        assert re.search(rf"\| [^|]*{precision}[^|]* \| `cosine` of at least {floor:g} \|", text)
    resamples = inspect.signature(intervals.bootstrap_auroc).parameters["resamples"].default
    for told in (
        f"`max_abs_diff` up to {parity.ATOL:.4f}",
        f"anything else | `cosine` of at least {precisions.COARSE:g}",
        f"{resamples:,} bootstrap resamples",
        f"`p` below {intervals.ALPHA:g} is a change",
        f"`p` below {verdicts.ORDER_ALPHA:g}",
        f"fell by more than {100 * gates.RECALL_LOSS:g} points",
        f"decided at least {gates.DECIDED} times and got right at least {gates.RIGHT} times",
        f"AUROC fell by more than {gates.AUROC_LOSS:g}",
        f"more than {gates.DRIFT:.0%} off the one carried over, and F1 with it differs by more than {gates.DRIFT_F1:g}",
    ):
        assert told in text, told
    assert (
        f"at least {precision_check.SHARE:.0%} of the weight bytes" in text
        and f"fewer than {arithmetic.SMALL:,} elements" in text
    )


def test_the_recipes_are_those_of_the_code() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in read(TRAINING).splitlines()]
    told = {row[0].strip("`"): row[1:] for row in rows if len(row) == 4 and row[0].startswith("`")}
    models = plugins.load().models
    for field in dataclasses.fields(Recipe):
        if field.name in ("seed", "compile", "normal"):  # the user's, whatever the model
            continue
        default, others, _ = told.pop(field.name)
        assert default == spoken(field.default), field.name
        changes = {name: spoken(part.recipe[field.name]) for name, part in models.items() if field.name in part.recipe}
        assert others == ", ".join(f"{name} {value}" for name, value in changes.items()), field.name
    assert not told


def spoken(value: bool | float | str) -> str:
    if isinstance(value, str):
        return value
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:g}"


def test_the_numbers_of_the_training_page_are_those_of_the_code() -> None:
    text = " ".join(read(TRAINING).split())
    assert f"{teacher.KERNELS:,} random convolutions" in text and f"reads {teacher.VIEWS:,} at most" in text
    assert f"answers {batches.LESSONS:,} more beats" in text and "three in ten" in text and Recipe.mix == 0.3
    assert f"with {THRESHOLD_FOLDS} folds where nothing else is said" in text


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_is_said_of_a_block_holds(page: Path) -> None:
    """Marks are of a known form, and a block that is not run says why; the tests that it names exist."""
    tests = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    for block in blocks(page):
        assert re.match(r"$|file: \S+$|example: \S+$|not run: \w+|command [12]$|made by docs", block.mark), block.mark
        assert set(re.findall(r"test_\w+\.py", block.mark)) <= tests | {"test_my_runtime.py", "test_two_layers.py"}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_point_to_files(page: Path) -> None:
    text = FENCE.sub("", read(page))
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE)
    broken = []
    for target in targets:
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = page.parent / path if path else page
        has_heads = file.suffix == ".md"  # behind a picture it is for which colours it is shown in
        if not file.exists() or (anchor and has_heads and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", read(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def command_lines(page: Path) -> list[str]:
    """Lines ``ecgedge ...`` of fenced blocks, joined where they go on; not of blocks that are ``text``."""
    found = []
    for _, language, body in FENCE.findall(read(page)):
        if language in NOT_COMMANDS:
            continue
        for line in re.sub(r"\s*\\\n\s*", " ", body).splitlines():
            bare = re.sub(r"^\s*(- run: |\$ )?(\w+=\S* )*(python -m (?=ecgedge\b))?", "", line)
            bare = re.sub(r"^docker compose run --rm [cg]pu ", "ecgedge ", bare)  # what follows goes to ecgedge
            if bare.startswith("ecgedge "):
                found.append(re.split(r"\s{3,}", bare.strip())[0])  # help texts explain after a gap
    return found


def parse(line: str) -> None:
    """Parse a command line without running it. Raises click.UsageError."""
    words = shlex.split(line, comments=True)[1:]
    ends = [i for i, word in enumerate(words) if word in ("|", ">", "&&", ";", "2>&1")]
    words = words[: ends[0]] if ends else words
    context = click.Context(group, info_name="ecgedge", **group.context_settings)
    descend(context, group, words)


def descend(context: click.Context, commands: click.Group, words: list[str]) -> None:
    """Parse what a group is given, then what its command is given."""
    _, rest, _ = commands.make_parser(context).parse_args(words)
    if not rest:
        return
    name, command, rest = commands.resolve_command(context, rest)
    assert command is not None
    with contextlib.suppress(click.exceptions.Exit):  # --help
        inner = command.make_context(name, list(rest), parent=context)
        if isinstance(command, click.Group):
            descend(inner, command, rest)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_command_lines_are_understood(page: Path) -> None:
    wrong = []
    for line in command_lines(page):
        try:
            parse(line)
        except (click.UsageError, ValueError) as error:
            wrong.append(f"{line}: {error}")
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "ecgedge measure",
        "ecgedge matrix --fast",
        "ecgedge --quiet matrix",
        "ecgedge matrix --profile slow",
        "ecgedge data shown",
        "ecgedge data fetch --fast",
    ],
)
def test_a_wrong_command_line_is_seen(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_path_of_one_machine(page: Path) -> None:
    text = re.sub(r"https?://\S+", "", read(page))
    text = re.sub(r"(?<!\S)/features/\S+", "", text)  # operations of a graph
    absolute = r"(?<![\w.~)}/-])/(?:[\w.-]+/[\w.-]*|(?:tmp|home|root|mnt|opt|usr|var|work)\b)"
    assert re.findall(rf"{absolute}|\b[A-Z]:\\", text) == []


def test_the_example_plugin_is_collected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGEDGE_PLUGINS", "")
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(folder / "my-plugins"))
    parts = plugins.load()
    assert parts.broken == []
    assert parts.owners["runtime", "nearest-mean"].plugin == "nearest_mean"


def test_the_example_runtime_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGEDGE_PLUGINS", "")
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(folder / "my-plugins"))
    runtime = plugins.load().find("runtime", "nearest-mean")
    beats, means = read_folder(folder / "beats").test.x, np.load(folder / "means.npz")["means"]
    nearest = ((beats - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    session = runtime.load(runtime.inspect(folder / "means.npz"), threads=1)
    np.testing.assert_array_equal(bench.infer(session, beats).argmax(axis=1), nearest)
    for i in range(5):  # one beat a call gives what many do
        assert bench.infer(session, beats[i : i + 1]).argmax() == nearest[i]


def test_the_example_works_on_the_command_line(folder: Path) -> None:
    run_ecgedge = ("-m", "ecgedge", "--plugins-dir", "my-plugins")
    assert "nearest-mean" in run(*run_ecgedge, "plugins", cwd=folder)
    told = run(*run_ecgedge, "evaluate", "means.npz", "--dataset", "beats", cwd=folder)
    assert "on nearest-mean;" in told
    assert float(re.search(r"accuracy ([\d.]+)", told)[1]) > 0.8


def test_the_example_runtime_refuses_another_file(folder: Path) -> None:
    (folder / "other.npz").write_bytes(b"no archive")
    done = subprocess.run(
        [sys.executable, "-m", "ecgedge", "--plugins-dir", "my-plugins", "evaluate", "other.npz", "--dataset", "beats"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "\nError: other.npz holds no class means" in done.stderr


def test_the_digest_of_the_data_card_is_computed_as_it_says(folder: Path) -> None:
    (folder / "digest.py").write_text(example(CARD, "digest.py"), encoding="utf-8")
    found = run("digest.py", "beats/MINE_TRAIN.txt", "beats/MINE_TEST.txt", cwd=folder).strip()
    assert found == read_folder(folder / "beats").digest
    assert ECG5000_DIGEST in read(CARD)


def test_the_format_of_a_runs_folder_is_the_one_that_is_read() -> None:
    page = read(FOLDER)
    assert f"`schema` in `run.json`: this is **{layout.SCHEMA}**" in page
    events = page.split("## The journal")[1].split("\n\n")[1]
    assert re.findall(r"^\| `(\w+)` \|", events, re.MULTILINE) == ["event", *layout.EVENTS]
    files = page.split("| file | what it is |")[1].split("\n\n")[0]
    for name in (
        reading.RUN,
        reading.JOURNAL,
        reading.ROWS,
        reading.BEATS,
        *(f"{name}/" for name in reading.FOLDERS),
    ):
        assert f"`{name}" in files, name
    text = " ".join(page.split())
    assert f"at most {strict_json.MOST_DEPTH} levels deep" in text
    assert f"`run.json` has up to {reading.MOST_RUN >> 20} MiB, a line up to {reading.MOST_LINE >> 30} GiB" in text
    assert f"the journal and the rows up to {reading.MOST_LINES >> 30} GiB" in text
    assert f"never objects, up to {arrays.MOST_BYTES / 1e9:g} GB" in text
    assert f"at most {opening.LONGEST_NAME} bytes" in text
