"""``matrix --again RUN``: what a run was asked for, once more, here; rows keep their names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ecgedge.commands.again import brought, places
from ecgedge.errors import EcgEdgeError
from ecgedge.run import MatrixRequest, RunFolder
from ecgedge.run.resume import asked_then
from ecgedge.run.row import Row
from tests.conftest import error_of, run_command


def test_the_same_rows_are_measured_under_the_same_names(made: Path, tmp_path: Path) -> None:
    """From a copy of the folder, in another place, as on another machine; and ``compare`` pairs them all."""
    shutil.copytree(made, tmp_path / "brought")
    plugins = ("--plugins-dir", made.parent / "plugins")
    done = run_command(*plugins, "matrix", "--again", "brought", "--out", "here", folder=tmp_path)
    assert done.code == 0 and "is not" not in done.err, done.err
    one, two = (RunFolder.read(folder) for folder in (made, tmp_path / "here"))
    assert {row.id for row in one.rows()} == {row.id for row in two.rows()}
    assert two.request.models == one.request.models and two.request.preset == "quick"
    told = run_command("compare", made, "here", "--tolerance", "latency=1000%", folder=tmp_path)
    assert told.code == 0 and "quality: paired" in told.out, told.out + told.err


def test_what_cannot_be_made_here_comes_along(made: Path, tmp_path: Path) -> None:
    """As on a board without the libraries of the model and the exporter: the very files of the run are measured, and
    held against what the model answered there; resumed as well."""
    shutil.copytree(made, tmp_path / "brought")
    (tmp_path / "plugins").mkdir()
    fakes = (made.parent / "plugins" / "fakes.py").read_text()
    parts = ("FakeModel", "FakeExporter")
    lacking = "".join(f"class No{part}({part}):\n    needs = ('no_such_library',)\n\n" for part in parts)
    there = fakes.replace("[Fake", "[NoFake", 2).replace("@hookimpl", f"{lacking}@hookimpl", 1)
    (tmp_path / "plugins" / "fakes.py").write_text(there)
    plugins = ("--plugins-dir", tmp_path / "plugins", "matrix")
    done = run_command(*plugins, "--again", "brought", "--out", "here", folder=tmp_path)
    assert done.code == 0 and "files, and what fake answers; fake-exporter, fake cannot work here" in done.err, done.err
    assert "--profile quick (" not in done.err, "it was asked for quick already"
    one, two = ({row.id: row for row in RunFolder.read(folder).rows()} for folder in (made, tmp_path / "here"))
    along = [row for row in one.values() if row.status == "ok"]
    assert len(along) == 3
    for row in along:
        again = two[row.id]
        assert again.status == "ok" and again.file and row.file
        assert (again.file.digest, again.file.path) == (row.file.digest, row.file.path)
        assert again.verdict and again.verdict.result == "same"
    told = run_command("check", "here", folder=tmp_path)
    assert told.code == 0, told.out + told.err
    assert run_command(*plugins, "--resume", "here", folder=tmp_path).code == 0
    shutil.rmtree(tmp_path / "brought")
    (there := tmp_path / "brought").mkdir()
    assert f"{there} holds no run" in error_of(run_command(*plugins, "--resume", "here", folder=tmp_path))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--model", "fake"), "so --model has no place"),
        (("--resume", "run"), "leave one of them out"),
        (("--artifact", "other.onnx"), "it measured none: leave --artifact out"),
    ],
)
def test_what_the_run_has_an_answer_to_is_refused(more: tuple[str, ...], told: str, made: Path) -> None:
    assert told in error_of(run_command("matrix", "--again", "run", *more, folder=made.parent))


def test_what_is_another_under_the_same_name_is_told(made: Path, tmp_path: Path) -> None:
    """Data and models, by their content: rows of the same names would be held against each other."""
    shutil.copytree(made, tmp_path / "run")
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    about["sources"] = dict.fromkeys(about["sources"], "0" * 64)
    about["data_digest"] = "0" * 64
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    asked = ("--plugins-dir", made.parent / "plugins", "matrix", "--again", "run", "--dry-run")
    told = run_command(*asked, folder=tmp_path)
    assert told.code == 0 and told.err.count("its content is another") == len(about["sources"]), told.err
    assert f"the data is not that of {tmp_path / 'run'}" in told.err


class Kept:
    """A run's folder, as far as ``brought`` and ``places`` look at it."""

    def __init__(self, path: Path, *rows: Row):
        self.path, self.rows = path, lambda: rows


def test_artifact_says_where_one_of_the_files_is(tmp_path: Path) -> None:
    run, files = Kept(tmp_path), ["there/a.onnx", "there/b.onnx"]
    assert places(run, files, ["here/b.onnx"]) == {"b.onnx": "here/b.onnx"}  # type: ignore[arg-type]
    with pytest.raises(EcgEdgeError, match="measured no file") as error:
        places(run, files, ["here/c.onnx"])  # type: ignore[arg-type]
    assert "a.onnx, b.onnx" in str(error.value.hint)
    with pytest.raises(EcgEdgeError, match="names two files"):
        places(run, files, ["a.onnx", "here/a.onnx"])  # type: ignore[arg-type]


def test_what_lies_beside_the_data_is_found_from_another_folder(tmp_path: Path) -> None:
    """Names of classes and the labels of an array, as the data and the files are."""
    for name in ("names.txt", "labels.npy"):
        (tmp_path / name).write_text("a\nb\n")
    asked = MatrixRequest(label_file="labels.npy", class_names="names.txt", place=str(tmp_path))
    then = asked_then(asked, ())
    assert (then.label_file, then.class_names) == (str(tmp_path / "labels.npy"), str(tmp_path / "names.txt"))


def test_a_file_comes_along_in_the_folder_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ecgedge.api.artifact import digest_of

    monkeypatch.setenv("ECGEDGE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "run" / "artifacts" / "12-mine.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"the very bytes")
    told = {"id": "mine.onnx.as-it-came.cpu", "model": "mine.onnx", "task": "classification", "format": "onnx",
            "precision": "fp32", "runtime": "cpu", "route": [], "quantizer": "as-it-came", "threads": 1, "batch": 1,
            "status": "ok", "artifact": "artifacts/12-mine.onnx", "digest": digest_of(file)}  # fmt: skip
    run = Kept(tmp_path / "run", Row.from_record(told))
    here = Path(brought(run, "elsewhere/mine.onnx"))  # type: ignore[arg-type]
    assert here.name == "mine.onnx" and here.read_bytes() == b"the very bytes"
    file.write_bytes(b"other bytes")
    with pytest.raises(EcgEdgeError, match="has no copy of it as it came"):
        brought(run, "elsewhere/mine.onnx")  # type: ignore[arg-type]
