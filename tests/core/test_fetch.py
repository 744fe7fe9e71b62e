"""``ecgedge data fetch`` against a server on loopback: good and bad zips; nothing half-written stays."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from ecgedge import EcgEdgeError
from ecgedge.cli import main
from ecgedge.data import fetch, finding
from ecgedge.data.fetch import DownloadError
from ecgedge.data.finding import fetch_ecg5000, read_path

TRAIN, TEST = "1 0.5 -1.5 2\n2 1 2 3\n", "2 1 1 2\n1 0 1 0\n2 5 5 5\n"
GOOD = {"ECG5000_TRAIN.txt": TRAIN, "ECG5000_TEST.txt": TEST, "ECG5000.md": "no beats"}
Serve = Callable[..., str]


def packed(entries: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return out.getvalue()


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECG5000 is a made-up set of five beats, and the cache is empty."""
    for part, content in (("TRAIN", TRAIN), ("TEST", TEST)):
        (tmp_path / f"tiny_{part}.txt").write_text(content)
    monkeypatch.setattr(finding, "ECG5000_DIGEST", read_path(tmp_path)[0].digest)
    monkeypatch.setattr(finding, "ECG5000_BEATS", (2, 3))
    monkeypatch.setenv("ECGEDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ECGEDGE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)  # where there is no data/ECG5000


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a body at a URL of 127.0.0.1: its status, how long it claims to be, whether it ever ends."""
    stop = threading.Event()
    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes, status: int = 200, claimed: int = 0, stuck: bool = False) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(claimed or len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                if stuck:
                    stop.wait(60)
                self.wfile.write(body[len(body) // 2 :])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/ECG5000.zip"

    yield start
    stop.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def cached(tmp_path: Path) -> list[str]:
    """All that is below the cache."""
    cache = tmp_path / "cache"
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*"))


WHOLE = ["ECG5000", "ECG5000/ECG5000_TEST.txt", "ECG5000/ECG5000_TRAIN.txt"]


def test_a_script_sees_no_bar(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    fetch_ecg5000(serve(packed(GOOD)))
    assert capfd.readouterr() == ("", "")


def test_good(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "ECG5000_URL", serve(packed(GOOD)))
    run = CliRunner()
    first = run.invoke(main, ["data", "fetch"])
    assert first.exit_code == 0, first.output
    assert "downloaded: ecg5000, 2 training and 3 test beats of 3 samples" in first.output
    assert "100%" in first.stderr, "progress is shown"
    assert cached(tmp_path) == WHOLE
    again = run.invoke(main, ["data", "fetch"])
    assert "already there, and whole" in again.output
    (tmp_path / "cache" / "ECG5000" / "ECG5000_TEST.txt").write_text("1 2 3 4\n")
    assert fetch_ecg5000()[1], "a damaged copy is fetched again"
    assert cached(tmp_path) == WHOLE
    assert finding.load()[0].name == "ecg5000"


def test_every_command_fetches_what_is_not_there(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "ECG5000_URL", serve(packed(GOOD)))
    data, warning = finding.load()
    assert (data.name, warning) == ("ecg5000", "")
    assert cached(tmp_path) == WHOLE


BAD = {
    "truncated": (packed(GOOD)[:-40], {"claimed": len(packed(GOOD))}, "could not be downloaded"),
    "cut zip": (packed(GOOD)[:-40], {}, "archive.zip is not a zip"),
    "tampered": (packed(GOOD | {"ECG5000_TEST.txt": TEST.replace("5 5 5", "5 5 6")}), {}, "digest"),
    "a beat short": (packed(GOOD | {"ECG5000_TEST.txt": "1 1 2 3\n"}), {}, "1 test beats"),
    "no number": (packed(GOOD | {"ECG5000_TEST.txt": "1 x 2 3\n"}), {}, "ECG5000: ECG5000_TEST.txt, line 1, column 2"),
    "one file": (packed({"ECG5000_TRAIN.txt": TRAIN}), {}, "ECG5000_TEST.txt is missing in it"),
    "no file": (packed({"ECG5000.md": ""}), {}, "no NAME_TRAIN.txt in it"),
    "a web page": (b"<html>sorry</html>", {}, "archive.zip is not a zip"),
    "missing": (b"not here", {"status": 404}, "HTTP 404"),
    "slow": (packed(GOOD), {"stuck": True}, "could not be downloaded"),
    "zip-slip": (packed({"../ECG5000_TRAIN.txt": TRAIN} | GOOD), {}, "would leave the folder"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("before", ["empty", "whole"])
def test_bad(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, case: str, before: str) -> None:
    body, how, message = BAD[case]
    if before == "whole":
        fetch_ecg5000(serve(packed(GOOD)))
    monkeypatch.setattr(fetch, "READ_SECONDS", 0.5)
    with pytest.raises(DownloadError) as caught:
        fetch_ecg5000(serve(body, **how))
    assert message in caught.value.message
    assert len(caught.value.message) < 300 and "cache" not in caught.value.message
    assert caught.value.hint
    assert cached(tmp_path) == (WHOLE if before == "whole" else [])
    assert not (tmp_path / "ECG5000_TRAIN.txt").exists()


def test_a_failed_download_is_two_lines(serve: Serve) -> None:
    told = CliRunner().invoke(main, ["data", "fetch", "--url", serve(b"", status=404)])
    assert told.exit_code == 2
    assert "HTTP 404" in told.stderr and len(told.stderr.splitlines()) == 2


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ECGEDGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(EcgEdgeError, match="cannot be written"):
        fetch_ecg5000("http://127.0.0.1:9/ECG5000.zip")
