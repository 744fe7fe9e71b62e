"""``ecgedge matrix --mlflow`` against a server on loopback: what it holds afterwards, and when it cannot be reached."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Command, error_of, rows_of
from tests.core.test_resume import Running, until

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")

EXTRA = """
from ecgedge import ConversionError, hookimpl
from ecgedge.testing import FakeExporter, FakeInt8, read_fake, write_fake
import numpy as np

class Saving(FakeExporter):
    name, produces = "saving", "saved_model"

    def convert(self, source, out, context):
        out.mkdir()
        write_fake(out / "weights.npz", np.load(source.path / "weights.npy"))
        return source.derive(out, format="saved_model", precision="fp32")

class Packing(FakeInt8):
    name, accepts, produces = "packing", ("saved_model",), "fake"

    def quantize(self, source, out, context):
        write_fake(out, read_fake(source.path / "weights.npz"))
        return source.derive(out, format="fake", precision=self.precision)

class Raising(FakeInt8):
    name = "raising"

    def quantize(self, source, out, context):
        raise ConversionError("cannot be done")

@hookimpl
def ecgedge_exporters():
    return [Saving()]

@hookimpl
def ecgedge_quantizers():
    return [Packing(), Raising()]
"""
ASKED = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "fake-runtime")


class Server:
    """``mlflow server`` with SQLite, and a place for artifacts beside it; stopped and started, it remembers."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
        until(self.answers, 240)

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
            return False

    def stop(self) -> None:
        """Its workers too: they are of its own session."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("mlflow"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def plugins(fakes: Path) -> Path:
    (fakes / "extra.py").write_text(EXTRA)
    return fakes


def test_a_matrix_is_a_parent_with_a_child_for_each_cell(
    server: Server, ecgedge: Command, plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (*ASKED, "--format", "fake", "--mlflow", server.uri, "--out", "run")
    result = ecgedge("--plugins-dir", plugins, "matrix", *asked)
    assert result.code == 1, result.err  # one cell fails
    told = json.loads((tmp_path / "run" / "mlflow.json").read_text())
    assert f"mlflow: run {told['run']} in {server.uri}" in result.err
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    rows = {row["id"]: row for row in rows_of(tmp_path / "run") if row["status"] != "skipped"}

    client = mlflow.MlflowClient(server.uri)
    parent = client.get_run(told["run"])
    assert parent.info.status == "FINISHED"
    assert parent.data.params["profile"] == "quick" and parent.data.params["models"] == "fake"
    assert parent.data.tags["command"] == run["command"] and parent.data.tags["version.numpy"]
    assert parent.data.tags["data.digest"] == run["data_digest"]
    assert parent.data.tags["machine.cpu"] == run["machine"]["cpu"]
    assert parent.data.metrics["cells"] == len(rows) and parent.data.metrics["cells_ok"] == len(rows) - 1
    [data] = parent.inputs.dataset_inputs
    assert data.dataset.name == "synthetic" and run["data_digest"].startswith(data.dataset.digest)
    assert {"run.json", "rows.jsonl", "report.md", "report.csv"} <= files(client, told["run"])

    found = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{told['run']}'")
    children = {child.info.run_name: child for child in found}
    assert children.keys() == rows.keys()
    for name, child in children.items():
        row = rows[name]
        assert child.data.tags["status"] == row["status"]
        assert child.info.status == ("FINISHED" if row["status"] == "ok" else "FAILED")
        for key in ("model", "format", "precision", "runtime", "quantizer"):
            assert child.data.params[key] == row[key]
        assert child.data.params["route"] == " > ".join(row["route"]) and child.data.params["passes"] == "none"
        if row["status"] == "ok":
            for key in ("accuracy", "macro_f1", "latency_p50_us", "latency_p95_us", "size_bytes"):
                assert child.data.metrics[key] == row[key]
            assert f"artifact/{Path(row['artifact']).name}" in files(client, child.info.run_id, "artifact")
    failed = children["fake.fake-exporter.raising.fake-runtime"]
    assert failed.data.tags["reason"] == "cannot be done"
    packed = children["fake.saving.packing.fake-runtime"].info.run_id
    assert files(client, packed, "saved_model") == {"saved_model/weights.npz"}
    assert "saved_model" not in files(client, children["fake.fake-exporter.none.fake-runtime"].info.run_id)

    models = client.search_logged_models([parent.info.experiment_id])
    assert {model.source_run_id for model in models} == {child.info.run_id for child in found} - {failed.info.run_id}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # given back at the end: the next line sets it for all processes
    mlflow.set_tracking_uri(server.uri)
    info = mlflow.models.get_model_info(f"models:/{models[0].model_id}")
    assert [spec.shape for spec in info.signature.inputs] == [(-1, 1, 140)]
    assert [spec.type.name for spec in info.signature.outputs] == ["float32"]


def files(client: mlflow.MlflowClient, run: str, folder: str | None = None) -> set[str]:
    return {file.path for file in client.list_artifacts(run, folder)}


def test_a_server_that_dies_costs_nothing_and_the_run_is_sent_later(
    server: Server, ecgedge: Command, fakes: Path, tmp_path: Path
) -> None:
    running = Running(tmp_path, fakes, *ASKED, "--mlflow", server.uri, "--out", "run")
    until((tmp_path / "run" / "journal.jsonl").exists)
    server.stop()
    code, _, err = running.end()
    assert code == 0, err
    assert "Warning: not in MLflow: " in err and "ecgedge --plugins-dir" in err and "matrix --resume" in err
    assert "Traceback" not in err
    assert {row["status"] for row in rows_of(tmp_path / "run") if row["status"] != "skipped"} == {"ok"}
    assert not (tmp_path / "run" / "mlflow.json").exists()

    another = ecgedge("--plugins-dir", fakes, "matrix", *ASKED, "--mlflow", server.uri, "--out", "another")
    assert f"MLflow cannot use {server.uri}" in error_of(another)
    assert not (tmp_path / "another").exists()
    server.start()
    silent = ecgedge("--plugins-dir", fakes, "matrix", "--resume", "run")
    assert silent.code == 0 and "--mlflow URI says where, else it is not sent" in silent.err
    assert not (tmp_path / "run" / "mlflow.json").exists(), "the address is that of who resumes, never of the run"
    again = ("--plugins-dir", fakes, "matrix", "--resume", "run", "--mlflow", server.uri)
    sent = ecgedge(*again)
    assert sent.code == 0 and "mlflow: run " in sent.err, sent.err
    told = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run"]
    assert mlflow.MlflowClient(server.uri).get_run(told).info.status == "FINISHED"
    assert f"mlflow: was sent before: {told}" in ecgedge(*again).err


@pytest.mark.parametrize("uri", ["nonsense://x", "sqlite:////dev/null/mlflow.db"])
def test_an_address_that_is_none_is_told_at_the_start(uri: str, ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    told = error_of(ecgedge("--plugins-dir", fakes, "matrix", *ASKED, "--mlflow", uri, "--out", "run"))
    assert f"MLflow cannot use {uri}" in told
    assert not (tmp_path / "run").exists()


def test_a_password_is_not_kept(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    uri = "http://me:secret@127.0.0.1:9"
    told = error_of(ecgedge("--plugins-dir", fakes, "matrix", *ASKED, "--mlflow", uri, "--out", "run"))
    assert "MLFLOW_TRACKING_PASSWORD" in told and "secret" not in told
