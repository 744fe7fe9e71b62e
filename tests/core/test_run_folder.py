"""A run's folder may be a stranger's: whatever is in it, a command reads it or refuses it in one line, and changes
nothing outside. ``benchmarks/fuzz_runs.py`` tries more."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecgedge.cli import main
from ecgedge.errors import EcgEdgeError
from ecgedge.run import RunFolder, read_array, read_arrays
from ecgedge.run.journal import Journal, read
from tests.conftest import Result, error_of
from tests.core.run_mutations import COMMANDS, CONTENT, VICTIM, header, outcome, resuming_measures_nothing, try_all

INT8 = "fake.fake-exporter.fake-int8.fake-runtime"
EXAMPLES = 60  # folders, each through all commands


@pytest.fixture
def at_home(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole run, with the plugins that resume it."""
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(made.parent / "plugins"))
    return made


@pytest.fixture
def run(at_home: Path, tmp_path: Path) -> Path:
    """A copy of it to be spoilt, and beside it a file that nobody may touch."""
    (tmp_path / VICTIM).write_bytes(CONTENT)
    return Path(shutil.copytree(at_home, tmp_path / "run"))


def ask(*arguments: str | Path) -> Result:
    """A command, in this process."""
    done = CliRunner().invoke(main, [*map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


def resume(run: Path, *more: str) -> Result:
    with resuming_measures_nothing():
        return ask("matrix", "--resume", run, *more)


def edit(run: Path, change: Callable[[dict[str, Any]], Any], name: str = "run.json") -> None:
    told = json.loads((run / name).read_text())
    change(told)
    (run / name).write_text(json.dumps(told))


def edit_lines(run: Path, change: Callable[[list[dict[str, Any]]], Any], name: str = "journal.jsonl") -> None:
    lines = [json.loads(line) for line in (run / name).read_text().splitlines()]
    change(lines)
    (run / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- whatever it holds


def test_a_mutated_folder_is_read_or_refused(at_home: Path, tmp_path: Path) -> None:
    counts = dict.fromkeys(("right", "one line"), 0)

    def tell(command: str, found: str, words: str, mutation: str) -> None:
        assert found in counts, f"{command}: {found}: {words} ({mutation})"
        counts[found] += 1

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.randoms(use_true_random=False))
    def tries(draw: Random) -> None:
        try_all(at_home, tmp_path / "scratch", draw, tell)

    tries()
    assert counts["one line"] > EXAMPLES, counts
    assert counts["right"] > EXAMPLES / 2, counts


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_nobody_changed_is_read(command: str, run: Path, at_home: Path) -> None:
    assert outcome(command, run, at_home) == ("right", "")


# -- what a stranger gains: nothing


@pytest.fixture
def listener() -> Iterator[tuple[str, list[Any]]]:
    """An address, and who called there."""
    callers: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                callers.append(caller.recv(1000))
                caller.close()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", callers


def test_the_address_in_a_run_is_never_connected_to(
    run: Path, listener: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, callers = listener
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    edit(run, lambda told: told["request"].update(sent=True, mlflow=uri))
    result = resume(run)
    assert result.code == 0, result.err
    assert "--mlflow URI says where, else it is not sent" in result.err
    assert not callers


def test_the_folder_that_a_run_names_is_not_worked_in(run: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    edit(run, lambda told: told["request"].update(place=str(there)))
    before = Path.cwd()
    with resuming_measures_nothing():
        CliRunner().invoke(main, ["matrix", "--resume", str(run)])
    assert Path.cwd() == before
    assert not list(there.iterdir())


def test_no_run_says_that_code_is_trusted(run: Path) -> None:
    def trust(records: list[dict[str, Any]]) -> None:
        next(r for r in records if r.get("artifact"))["artifact"]["record"]["notes"] = {"trusted": True}

    edit(run, lambda told: told["request"]["told"].update(trust=True))
    assert resume(run).code == 0, "it vouches for nothing, and nothing needs it"
    edit_lines(run, trust)
    assert "runs code of its own" in error_of(resume(run))


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_data_and_models_that_a_run_names_are_files(name: str, run: Path, tmp_path: Path) -> None:
    if name == "pipe":
        os.mkfifo(tmp_path / "pipe")
        name = str(tmp_path / "pipe")
    edit(run, lambda told: told["request"].update(data=name))
    assert "is neither a file nor a folder" in error_of(resume(run))


def linked_samples(run: Path) -> None:
    (run / "samples" / f"{INT8}.i64").unlink()
    (run / "samples" / f"{INT8}.i64").symlink_to(run.parent / VICTIM)


def hard_linked_samples(run: Path) -> None:
    (run / "samples" / f"{INT8}.i64").unlink()
    os.link(run.parent / VICTIM, run / "samples" / f"{INT8}.i64")


def linked_journal(run: Path) -> None:
    (run.parent / VICTIM).write_bytes(CONTENT)
    (run / "journal.jsonl").unlink()
    (run / "journal.jsonl").symlink_to(run.parent / VICTIM)


def linked_folder(run: Path) -> None:
    shutil.rmtree(run / "logs")
    (run / "logs").symlink_to(run.parent)


def linked_report(run: Path) -> None:
    (run / ".report.html").symlink_to(run.parent / VICTIM)


def a_file_for_a_folder(run: Path) -> None:
    shutil.rmtree(run / "logs")
    (run / "logs").write_bytes(b"")


def a_folder_for_a_report(run: Path) -> None:
    (run / "report.html").unlink()
    (run / "report.html").mkdir()


def a_pipe(run: Path) -> None:
    os.mkfifo(run / "samples" / "pipe")


def a_cell_that_leads_out(run: Path) -> None:
    def rename(records: list[dict[str, Any]]) -> None:
        for record in records:
            if record.get("cell") == INT8:
                record["cell"] = f"../../{VICTIM}"

    edit_lines(run, rename)


def a_cell_that_was_not_planned(run: Path) -> None:
    def add(records: list[dict[str, Any]]) -> None:
        record = json.loads(json.dumps(next(r for r in records if r["event"] == "scored")))
        record["cell"] = record["row"]["id"] = "victim"
        records.append(record)

    edit_lines(run, add)


def an_artifact_elsewhere(run: Path) -> None:
    def lead_out(records: list[dict[str, Any]]) -> None:
        next(r for r in records if r.get("artifact"))["artifact"]["path"] = f"../{VICTIM}"

    edit_lines(run, lead_out)


def a_row_of_another_model(run: Path) -> None:
    edit_lines(run, lambda records: [r["row"].update(model="other") for r in records if r["event"] == "scored"])


def a_row_of_another_file(run: Path) -> None:
    edit_lines(run, lambda records: [r["row"].update(digest="0" * 64) for r in records if r.get("artifact")])


def another_artifact(run: Path) -> None:
    [path] = [path for path in (run / "artifacts").iterdir() if path.is_file()][:1]
    path.write_bytes(path.read_bytes() + b"more")


def another_graph(run: Path) -> None:
    (run / "cells" / f"{INT8}.outputs.npy").write_bytes(b"not these")


HOSTILE = {
    linked_samples: "is a symbolic link",
    hard_linked_samples: "a hard link",
    linked_journal: "is a symbolic link",
    linked_folder: "is a symbolic link",
    linked_report: "is a symbolic link",
    a_file_for_a_folder: "logs is a file, and none of a run",
    a_folder_for_a_report: "report.html is a folder, and none of a run",
    a_pipe: "is a pipe",
    a_cell_that_leads_out: "not the name of a file",
    a_cell_that_was_not_planned: "is no cell that run.json planned",
    an_artifact_elsewhere: "not a path within the folder",
    a_row_of_another_model: "no model that run.json names",
    a_row_of_another_file: "does not name its artifact",
    another_artifact: "it is not the file that was scored",
    another_graph: "it is not the file that was written then",
}


@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda spoil: spoil.__name__)
def test_a_resume_touches_only_what_is_its_own(spoil: Callable[[Path], None], run: Path) -> None:
    spoil(run)
    before = everything(run.parent)
    assert HOSTILE[spoil] in error_of(resume(run))
    assert everything(run.parent) == before
    assert (run.parent / VICTIM).read_bytes() == CONTENT


def test_a_stray_file_is_ignored_and_kept(run: Path) -> None:
    for name in ("samples/x.txt", "samples/other.i64", "cells/notes.md", "mine"):
        (run / name).write_bytes(b"stray")
    for command in ("report", "check"):
        assert ask(command, run).code == (0 if command == "report" else 1)
    assert resume(run).code == 0
    assert {(run / name).read_bytes() for name in ("samples/x.txt", "samples/other.i64", "mine")} == {b"stray"}


# -- what is told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda told: told.update(schema=1),
            "schema) is 1, this ecgedge reads 3\n  measure it again, or read it with the ecgedge that wrote it",
        ),
        (lambda told: told.update(schema=True), "schema) is not told"),
        (lambda told: told["request"].update(printed="pdf"), "request.printed"),
        (lambda told: told.pop("labels"), "labels is missing"),
        (lambda told: told.update(rounds=10**9), "rounds is 1000000000, not a whole number from 1"),
        (lambda told: told.update(seed=float(10)), "seed is 10.0, not a whole number"),
        (lambda told: told.update(cells=["../x"]), "cells[0] is '../x', not the name of a file"),
        (lambda told: told["machine"].update(isa=3), "machine.isa is 3, not a list"),
    ],
)
def test_run_json_is_held_to_its_format(change: Callable[[dict], Any], words: str, run: Path) -> None:
    edit(run, change)
    for told in (ask("report", run), ask("choose", run), ask("compare", run, run), resume(run)):
        assert words in error_of(told)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"event": "new", "cell": "x"}\n', "event is 'new', not one of start, scored"),
        (b'{"event": "start", "time": "now", "time": "then"}\n', "a key is in it twice"),
        (b'{"event": "start", "time": NaN}\n', "NaN is no number"),
        (b'{"event": "start", "time": "\\ud800"}\n', "half of a surrogate pair"),
        (b'{"event": "start", "time": ' + b"[" * 100_000 + b"\n", "nested too deeply"),
        (b'{"event": "block", "cell": "x", "round": true}\n', "is missing"),
        (b"not a line\n", "Expecting value"),
    ],
)
def test_a_line_of_the_journal_that_is_none_is_told_by_its_number(line: bytes, words: str, run: Path) -> None:
    before = (run / "journal.jsonl").read_bytes()
    (run / "journal.jsonl").write_bytes(line + before)
    for told in (ask("report", run), ask("compare", run, run), resume(run)):
        assert "journal.jsonl, line 1 cannot be" in error_of(told)
        assert words in told.err
    assert (run / "journal.jsonl").read_bytes() == line + before, "nothing of it is cut off"


@pytest.mark.parametrize("reading", [1e-320, 5e-324, 1e-100])
def test_a_reading_of_next_to_nothing_is_told(reading: float, run: Path) -> None:
    """The ratio of two readings has no logarithm where one is so small that the ratio is 0."""
    lines = (run / "journal.jsonl").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if '"reference_ns"' in line)
    block = json.loads(lines[at])
    block["reference_ns"][1] = reading
    lines[at] = json.dumps(block)
    (run / "journal.jsonl").write_text("\n".join(lines) + "\n")
    for command in ("compare", "report"):
        asked = (run, run) if command == "compare" else (run,)
        told = error_of(ask(command, *asked))
        assert f"line {at + 1} cannot be used" in told and "reference_ns[1] is" in told and "1e-09 or more" in told


def test_only_the_last_line_may_be_torn(run: Path) -> None:
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines) + b'{"event": "blo')
    assert len(read(run)) == len(lines)
    Journal(run).close()
    assert (run / "journal.jsonl").read_bytes() == b"".join(lines)
    (run / "journal.jsonl").write_bytes(b"".join([lines[0], lines[1][:20] + b"\n", *lines[2:]]))
    with pytest.raises(EcgEdgeError, match="line 2"):
        Journal(run)


def test_samples_that_are_missing_are_told_and_not_made_up(run: Path) -> None:
    file = run / "samples" / f"{INT8}.i64"
    os.truncate(file, file.stat().st_size - 16)
    with pytest.raises(EcgEdgeError, match=r"i64 has [\d,]+ bytes, the journal tells of"):
        Journal(run)
    assert "cut off" in error_of(ask("compare", run, run))
    file.unlink()
    assert "is missing" in error_of(ask("compare", run, run))
    assert ask("report", run).code == 0, "what is gone is left out of a report"


@pytest.mark.parametrize("shape", [(10**12,), (2**62, 2**62), (-1,), (True,)])
def test_a_header_that_claims_what_is_not_there_costs_no_memory(shape: tuple[Any, ...], tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(header(shape) + bytes(64))
    with pytest.raises(EcgEdgeError, match=r"a\.npy cannot be read"):
        read_array(tmp_path, "a.npy")
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    assert read_arrays(tmp_path, "a.npz")["a"].tolist() == [0, 1, 2]


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(EcgEdgeError, match="no numbers"):
        read_array(tmp_path, "a.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "u1", "<f2"])
def test_arrays_are_read_as_numpy_reads_them(dtype: str, order: Any, tmp_path: Path) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "a.npz", a=values, b=values[:0])
    np.testing.assert_array_equal(read_array(tmp_path, "a.npy"), np.load(tmp_path / "a.npy"))
    both = read_arrays(tmp_path, "a.npz")
    np.testing.assert_array_equal(both["a"], values)
    assert both["b"].shape == (0, 3, 4)


def test_what_would_not_be_read_again_is_not_measured(at_home: Path, tmp_path: Path) -> None:
    """A seed that 64 bits do not hold; the folder is not made."""
    out = tmp_path / "never"
    asked = ("--dataset", "synthetic", "--model", "fake", "--seed", str(10**30), "--out", out)
    with resuming_measures_nothing():
        told = error_of(ask("matrix", *asked))
    assert f"seed is {10**30}, not a whole number from 0 to {2**63 - 1:,}" in told
    assert not out.exists()


def test_the_loader_has_what_the_folder_holds(run: Path) -> None:
    found = RunFolder.read(run)
    assert found.about == json.loads((run / "run.json").read_text())
    assert found.records == [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    assert [row.flat for row in found.rows()] == [
        json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()
    ]
    outputs = found.outputs(INT8)
    assert outputs is not None and found.beats is not None
    np.testing.assert_array_equal(outputs, np.load(run / "cells" / f"{INT8}.outputs.npy"))
    np.testing.assert_array_equal(found.beats.x, np.load(run / "beats.npz")["x"])


@pytest.fixture
def quick_turns() -> Iterator[None]:
    """Threads have their turn as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_boards_that_share_a_journal_lose_nothing_of_each_other(tmp_path: Path, quick_turns: None) -> None:
    journal, wanted = Journal(tmp_path), 400
    others = [f"cell@{board}" for board in ("a", "b", "c")]
    began = threading.Barrier(len(others) + 1)

    def append(cell: str) -> None:
        began.wait()
        for number in range(wanted):
            journal.append("warm", cell=cell, number=number)

    threads = [threading.Thread(target=append, args=(cell,)) for cell in others]
    for thread in threads:
        thread.start()
    began.wait()
    while any(thread.is_alive() for thread in threads):
        journal.void("cell@rebooted", "the board was started anew")
    for cell in others:
        assert [record["number"] for record in journal.of("warm", cell)] == [*range(wanted)]
        assert [each["number"] for each in journal.of("warm") if each["cell"] == cell] == [*range(wanted)]
        assert [each["number"] for each in journal.records if each.get("cell") == cell] == [*range(wanted)]
    journal.close()
