"""The store on disks that are full or cannot be written, with damaged entries, and with others at work in it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ecgedge import Artifact, Classification, EcgEdgeError, TensorSpec
from ecgedge.convert.store import Store
from ecgedge.convert.upkeep import entries, prune
from tests.conftest import Command, Disk, error_of, rows_of

SPEC = TensorSpec("x", (None, 1, 3), "float32", "NCL")
SOURCE = Artifact(Path("s"), "numpy", "fp32", Classification(("a",)), SPEC, SPEC, "net", digest="0d" * 32)
KEY, OTHER = "ab" * 32, "cd" * 32
PART = {"part": "exporter big"}


def building(content: bytes) -> Callable[[Path], Artifact]:
    def build(out: Path) -> Artifact:
        out.write_bytes(content)
        return SOURCE.derive(out, format="fake")

    return build


def never(out: Path) -> Artifact:
    raise AssertionError("built again")


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


ASKED = ("--profile", "quick", "--dataset", "synthetic", "--model", "fake", "--format", "fake", "--out")


def matrix(ecgedge: Command, fakes: Path, out: str, cache: Path) -> tuple[int, dict[str, dict]]:
    """The exit code and the rows, by quantizer, of the two cells that convert."""
    result = ecgedge("--plugins-dir", fakes, "matrix", *ASKED, out, ECGEDGE_CACHE=str(cache))
    assert "Traceback" not in result.err
    return result.code, rows_in(fakes.parent / out)


def rows_in(run: Path) -> dict[str, dict]:
    return {row["quantizer"]: row for row in rows_of(run) if row["status"] != "skipped"}


def stops(ecgedge: Command, fakes: Path, out: str, cache: Path, because: str) -> list[str]:
    """Run a matrix that the store keeps from going on: no cell fails by that; returns what it is to be resumed with."""
    result = ecgedge("--plugins-dir", fakes, "matrix", *ASKED, out, ECGEDGE_CACHE=str(cache))
    assert "Traceback" not in result.err
    assert result.code == 2, result.err
    reason, hint = result.err.splitlines()[-2:]
    assert reason.startswith("Error: ") and because in reason
    assert rows_in(fakes.parent / out) == {}
    return shlex.split(hint.partition(", then: ecgedge ")[2])


# a store that cannot be written


def test_a_store_that_cannot_be_written_serves_what_it_has(disk: Disk) -> None:
    made = Store(disk.path / "store").make(KEY, "net.fake", PART, building(b"weights"))
    disk.freeze()
    store = Store(disk.path / "store")
    assert store.make(KEY, "net.fake", PART, never) == made
    with pytest.raises(EcgEdgeError, match=r"the artifact store .* cannot be written: Read-only") as caught:
        store.make(OTHER, "net.fake", PART, never)
    assert "ECGEDGE_CACHE" in caught.value.hint
    with pytest.raises(OSError, match="Read-only"):
        list(prune(store, None))


def test_a_damaged_entry_that_cannot_be_written_is_not_served(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    made = Store(disk.path).make(KEY, "net.fake", PART, building(b"weights"))
    made.path.write_bytes(b"weighty")
    disk.freeze()
    with pytest.raises(EcgEdgeError, match="cannot be written: Read-only"):
        Store(disk.path).make(KEY, "net.fake", PART, never)
    assert "is damaged" in caplog.text


def test_a_folder_that_cannot_be_made_is_told_at_once(disk: Disk) -> None:
    disk.freeze()
    with pytest.raises(EcgEdgeError, match="cannot be written: Read-only"):
        Store(disk.path / "store")


def test_a_store_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0)
    if os.access(tmp_path / "store", os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(EcgEdgeError, match="cannot be read: Permission denied"):
        Store(tmp_path / "store")


def test_the_matrix_on_a_store_that_cannot_be_written(ecgedge: Command, fakes: Path, disk: Disk) -> None:
    cold, warm = disk.path / "cold", disk.path / "warm"
    (cold / "store").mkdir(parents=True)
    code, before = matrix(ecgedge, fakes, "before", warm)
    disk.freeze()
    assert code == 0
    code, after = matrix(ecgedge, fakes, "after", warm)
    assert (code, [row["status"] for row in after.values()]) == (0, ["ok", "ok"])
    assert [row["digest"] for row in after.values()] == [row["digest"] for row in before.values()]
    again = stops(ecgedge, fakes, "cold", cold, "cannot be written: Read-only")
    assert ecgedge(*again, ECGEDGE_CACHE=str(warm)).code == 0
    assert [row["status"] for row in rows_in(fakes.parent / "cold").values()] == ["ok", "ok"]
    assert "cannot be written: Read-only" in error_of(ecgedge("store", "prune", "--all", ECGEDGE_CACHE=str(warm)))
    assert ecgedge("store", "verify", ECGEDGE_CACHE=str(warm)).out == "3 artifacts, all sound\n"
    assert "would remove 3" in ecgedge("store", "prune", "--all", "--dry-run", ECGEDGE_CACHE=str(warm)).out


# a full disk


def test_a_disk_that_is_full_while_a_part_writes(disk: Disk) -> None:
    store = Store(disk.path)
    with pytest.raises(EcgEdgeError, match="no space left to make exporter big in") as caught:
        store.make(KEY, "net.fake", PART, building(bytes(2**21)))
    assert "ECGEDGE_CACHE" in caught.value.hint
    assert files(disk.path) == []
    assert store.make(KEY, "net.fake", PART, building(b"small")).path.read_bytes() == b"small"


def test_a_disk_that_is_full_when_the_record_is_written(disk: Disk) -> None:
    disk.fill(leave=3 * 4096)  # a page of tmpfs holds 4096 bytes
    with pytest.raises(EcgEdgeError, match="no space left"):
        Store(disk.path).make(KEY, "net.fake", PART, building(bytes(3 * 4096)))
    assert files(disk.path) == ["ballast"]
    assert Store(disk.path).find(KEY) is None


def test_a_part_that_overlooks_that_the_disk_is_full(disk: Disk) -> None:
    """It leaves half a file, says that all is well, and what it leaves beside the file would make room."""

    def careless(out: Path) -> Artifact:
        (out.parent / "scratch").write_bytes(bytes(2**19))
        with out.open("wb", buffering=0) as file:
            file.write(bytes(2**20))  # answers that it wrote less
        assert out.stat().st_size < 2**20
        return SOURCE.derive(out, format="fake")

    with pytest.raises(EcgEdgeError, match="no space left"):
        Store(disk.path).make(KEY, "net.fake", PART, careless)
    assert files(disk.path) == []


def test_a_part_that_dies_of_a_full_disk(disk: Disk) -> None:
    def dies(out: Path) -> Artifact:
        with out.open("wb", buffering=0) as file:
            file.write(bytes(2**21))
        raise RuntimeError("the process died: SIGBUS")

    with pytest.raises(EcgEdgeError, match=r"no space left .* SIGBUS"):
        Store(disk.path).make(KEY, "net.fake", PART, dies)
    assert files(disk.path) == []


def test_a_part_that_tidies_up_on_a_full_disk(disk: Disk) -> None:
    """When its error arrives there is room again; only the error tells."""

    def tidies(out: Path) -> Artifact:
        try:
            out.write_bytes(bytes(2**21))
        except OSError as error:
            out.unlink()
            raise RuntimeError(f"OSError: {error}") from None  # as a child process tells it
        raise AssertionError("it fitted")

    with pytest.raises(EcgEdgeError, match="no space left to make"):
        Store(disk.path).make(KEY, "net.fake", PART, tidies)


def test_a_disk_too_full_for_anything(disk: Disk) -> None:
    made = Store(disk.path).make(KEY, "net.fake", PART, building(b"weights"))
    disk.fill(leave=0)
    store = Store(disk.path)
    assert store.make(KEY, "net.fake", PART, never) == made
    with pytest.raises(EcgEdgeError, match=r"[Nn]o space left"):
        store.make(OTHER, "net.fake", PART, building(b"weights"))
    assert files(disk.path) == [KEY, "ballast"]
    assert [gone.name for gone in prune(store, None)] == [KEY]


@pytest.mark.parametrize("pages", [0, 1])  # nothing can be written; what is converted, but not its record
def test_the_matrix_on_a_full_disk(ecgedge: Command, fakes: Path, disk: Disk, pages: int) -> None:
    disk.fill(leave=pages * 4096)
    again = stops(ecgedge, fakes, "full", disk.path, "no space left to make")
    assert files(disk.path / "store") == []
    (disk.path / "ballast").unlink()
    assert ecgedge(*again, ECGEDGE_CACHE=str(disk.path)).code == 0
    assert [row["status"] for row in rows_in(fakes.parent / "full").values()] == ["ok", "ok"]


# damage


def flip(file: Path, byte: int, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[byte % len(content)] ^= 1 << bit
    file.write_bytes(content)


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    """In the content, or in the record: what is found is what was made, or nothing is."""
    store, draw = Store(tmp_path), random.Random(0)
    for _ in range(300):
        made = store.make(KEY, "net.fake", PART, building(b"weights"))
        record = tmp_path / KEY / "record.json"
        flip(draw.choice([made.path, record]), draw.randrange(10_000), draw.randrange(8))
        assert store.find(KEY) in (None, made)  # some flips of white space change nothing
    assert store.make(KEY, "net.fake", PART, building(b"weights")).path.read_bytes() == b"weights"


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_a_truncated_record_is_made_again(tmp_path: Path, left: int, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    store.make(KEY, "net.fake", PART, building(b"weights"))
    record = tmp_path / KEY / "record.json"
    record.write_bytes(record.read_bytes()[:left])
    with caplog.at_level(logging.WARNING, "ecgedge"):
        store.make(KEY, "net.fake", PART, building(b"weights"))
    assert "is damaged" in caplog.text and "is made again" in caplog.text
    assert [entry.damage for entry in entries(store, whole=True)] == [""]
    assert files(tmp_path) == [KEY]


@pytest.mark.parametrize("text", ["[]", "7", '"x"', "null", '{"file": 3}', "\ud800"])
def test_a_record_that_is_something_else_is_damage(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    store.make(KEY, "net.fake", PART, building(b"weights"))
    (tmp_path / KEY / "record.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert [entry.damage != "" for entry in entries(store, whole=False)] == [True]
    assert store.find(KEY) is None
    assert files(tmp_path) == []


# others at work in it

WORK = """
import hashlib, random, sys, time
from pathlib import Path
from ecgedge.convert.store import Store
from tests.core.test_store_faults import SOURCE

root, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
store = Store(root)

def build(out):
    with out.open("wb") as file:
        for _ in range(4):
            file.write(content)
            file.flush()
            time.sleep(draw.random() / 300)
    (out.parent / "scratch").write_bytes(content)
    return SOURCE.derive(out, format="fake")

print("ready", flush=True)
sys.stdin.readline()
for _ in range(rounds):
    numbers = list(range(40))
    draw.shuffle(numbers)
    for number in numbers:
        content = hashlib.sha256(str(number).encode()).digest() * 100
        made = store.make(hashlib.sha256(content).hexdigest(), f"{number}.fake", {"part": "p"}, build)
        assert made.path == root / hashlib.sha256(content).hexdigest() / f"{number}.fake"
        time.sleep(draw.random() / 1000)
"""


def at_work(root: Path, seeds: list[int], rounds: int) -> list[subprocess.Popen[str]]:
    """Processes that make the same 40 entries, each in an order of its own, from now on."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", WORK, str(root)]
    runs = [subprocess.Popen([*command, str(seed), str(rounds)], **pipes) for seed in seeds]
    for run in runs:
        assert run.stdout and run.stdout.readline() == "ready\n", run.stderr and run.stderr.read()
    for run in runs:
        run.stdin.write("go\n")
        run.stdin.flush()
    return runs


def check_whole(root: Path) -> None:
    """Every entry verifies, and holds what belongs under its key."""
    for entry in entries(Store(root), whole=True):
        assert entry.damage == ""
        assert entry.artifact
        content = hashlib.sha256(entry.artifact.path.stem.encode()).digest() * 100
        assert entry.artifact.path.read_bytes() == content * 4
        assert entry.key == hashlib.sha256(content).hexdigest()
        assert len(files(root / entry.key)) == 2


def ended(process: subprocess.Popen[str]) -> None:
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told


def test_what_another_run_made_meanwhile_is_taken_where_it_is_sound(tmp_path: Path) -> None:
    def slow(damage: bool) -> Callable[[Path], Artifact]:
        def build(out: Path) -> Artifact:
            theirs = Store(tmp_path).make(KEY, "net.fake", PART, building(b"theirs"))
            if damage:
                theirs.path.write_bytes(b"thei")
            return building(b"mine")(out)

        return build

    store = Store(tmp_path)
    assert store.make(KEY, "net.fake", PART, slow(damage=True)).path.read_bytes() == b"mine"
    assert list(prune(store, None))
    assert store.make(KEY, "net.fake", PART, slow(damage=False)).path.read_bytes() == b"theirs"
    assert files(tmp_path) == [KEY]


def test_runs_that_make_the_same_at_once_and_one_that_is_killed(tmp_path: Path) -> None:
    for seed in range(3):
        root = tmp_path / str(seed)
        first, second, third = at_work(root, [10 * seed, 10 * seed + 1, 10 * seed + 2], 1)
        time.sleep(0.05 * (1 + seed))
        check_whole(root)  # while they work
        second.kill()
        assert second.wait() == -signal.SIGKILL
        second.communicate()
        ended(first)
        ended(third)
        check_whole(root)
        kept = [name for name in files(root) if not name.startswith(".")]
        left = [name for name in files(root) if name.startswith(".")]
        assert len(kept) == 40
        assert len(left) <= 1  # of the one that was killed
        assert list(prune(Store(root), 30)) == []  # for all that prune knows, it is still at work
        for name in left:
            os.utime(root / name, (time.time() - 90_000,) * 2)
        assert [gone.name for gone in prune(Store(root), 30)] == left
        assert len(files(root)) == 40


def test_prune_harms_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything is pruned, again and again, and some of it damaged, while two runs work: they make it again."""
    runs, draw, store = at_work(tmp_path, [0, 1], 3), random.Random(1), Store(tmp_path)
    pruned = 0
    while any(run.poll() is None for run in runs):
        for entry in entries(store, whole=False):
            if draw.random() < 0.1 and entry.artifact:
                entry.artifact.path.unlink(missing_ok=True)
        pruned += len(list(prune(store, None if draw.random() < 0.5 else 0.0)))
        time.sleep(draw.random() / 50)
    for run in runs:
        ended(run)
    assert pruned > 40
    list(prune(store, 30))  # what was damaged last
    check_whole(tmp_path)
    assert [name for name in files(tmp_path) if name.startswith(".")] == []


def test_what_is_used_while_prune_looks_stays(tmp_path: Path) -> None:
    """Found old, then used by another run, then taken out: it is put back."""
    store = Store(tmp_path)
    for key in (KEY, OTHER):
        store.make(key, "net.fake", PART, building(b"weights"))
        os.utime(tmp_path / key / "record.json", (0, 0))
    pruning = prune(store, 30)
    first = next(pruning).name  # both were found old
    second = OTHER if first == KEY else KEY
    assert store.find(second)
    assert list(pruning) == []
    assert files(tmp_path) == [second]


def test_what_is_renewed_while_prune_looks_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in (KEY, OTHER):
        store.make(key, "net.fake", PART, building(b"weights")).path.unlink()
    pruning = prune(store, 30)
    first = next(pruning).name  # both were found damaged
    second = OTHER if first == KEY else KEY
    store.make(second, "net.fake", PART, building(b"weights"))
    assert list(pruning) == []
    assert store.find(second)


def test_a_store_that_vanishes_is_made_again(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    """While cells are measured, so the next one finds nothing; what is measured lies in the run's own folder."""
    (fakes / "vanishes.py").write_text(
        "import os, pathlib, shutil\nfrom ecgedge import hookimpl\nfrom ecgedge.testing import FakeRuntime\n"
        "class Vanishes(FakeRuntime):\n    def load(self, artifact, threads):\n"
        "        store = pathlib.Path(os.environ['ECGEDGE_CACHE']) / 'store'\n"
        "        shutil.rmtree(store)\n        store.mkdir()\n"
        "        return super().load(artifact, threads)\n"
        "@hookimpl\ndef ecgedge_runtimes():\n    return [Vanishes('a-vanishes')]\n"
    )
    arguments = ("--profile", "quick", "--dataset", "synthetic", "--model", "fake", "--format", "fake", "--out", "run")
    result = ecgedge("--plugins-dir", fakes, "matrix", *arguments, ECGEDGE_CACHE=str(tmp_path / "cache"))
    assert result.code == 0, result.err
    rows = [row for row in rows_of(tmp_path / "run") if row["status"] != "skipped"]
    assert {(row["runtime"], row["status"]) for row in rows} == {("a-vanishes", "ok"), ("fake-runtime", "ok")}


# the commands


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with three artifacts."""
    store, maker = Store(tmp_path / "cache" / "store"), {"distribution": "mine", "version": "1.2"}
    for letter, precision in zip("abc", ("fp32", "fp16", "full-int8"), strict=True):

        def build(out: Path, precision: str = precision) -> Artifact:
            out.write_bytes(bytes(5000))
            return SOURCE.derive(out, format="fake", precision=precision)

        store.make(letter * 64, f"{letter}.fake", maker | {"part": f"quantizer {precision}"}, build)
    return tmp_path / "cache"


def test_ls(ecgedge: Command, cache: Path) -> None:
    store = cache / "store"
    for letter, used in zip("bca", (1_600_000_000, 1_700_000_000, 1_800_000_000), strict=True):
        os.utime(store / (letter * 64) / "record.json", (used, used))
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    lines = ecgedge("store", "ls", ECGEDGE_CACHE=str(cache)).out.splitlines()
    assert lines[0].split() == ["key", "name", "format", "precision", "bytes", "maker", "last", "used"]
    assert [line[:12] for line in lines[2:5]] == ["b" * 12, "c" * 12, "a" * 12]
    assert lines[3].split()[1:4] == ["net", "fake", "full-int8"]
    assert "quantizer full-int8, mine 1.2" in lines[3] and "2023-11-1" in lines[3]
    assert lines[-1] == f"3 artifacts, {size:,} bytes in {store}"
    told = json.loads(ecgedge("store", "ls", "--json", ECGEDGE_CACHE=str(cache)).out)
    assert told["size_bytes"] == size == sum(one["size_bytes"] for one in told["artifacts"])
    assert [one["key"][0] for one in told["artifacts"]] == ["b", "c", "a"]
    assert [one["precision"] for one in told["artifacts"]] == ["fp16", "full-int8", "fp32"]
    assert told["artifacts"][0]["maker"] == {"distribution": "mine", "version": "1.2", "part": "quantizer fp16"}
    assert told["artifacts"][0]["used"].startswith("2020-09-1")
    assert ecgedge("store", "ls", ECGEDGE_CACHE=str(cache / "none")).out.startswith("0 artifacts, 0 bytes")


def test_verify_names_what_is_damaged_and_prune_removes_it(ecgedge: Command, cache: Path) -> None:
    assert ecgedge("store", "verify", ECGEDGE_CACHE=str(cache)).out == "3 artifacts, all sound\n"
    gone, flipped, truncated = sorted((cache / "store").iterdir())
    file_of = {
        folder: next(file for file in folder.iterdir() if file.name != "record.json") for folder in (gone, flipped)
    }
    file_of[gone].unlink()
    flip(file_of[flipped], 100, 3)
    (truncated / "record.json").write_text("{")
    result = ecgedge("store", "verify", ECGEDGE_CACHE=str(cache))
    assert result.code == 1
    told = dict(line.split("  ", 1) for line in result.out.splitlines())
    assert told[gone.name[:12]] == f"{file_of[gone].name} is missing"
    assert told[flipped.name[:12]] == f"the digest of {file_of[flipped].name} differs"
    assert told[truncated.name[:12]].startswith("record.json cannot be read: ")
    assert "3 of 3 artifacts damaged" in result.err
    assert len(files(cache / "store")) == 3  # it deletes nothing
    assert "would remove 3" in ecgedge("store", "prune", "--dry-run", ECGEDGE_CACHE=str(cache)).out
    assert len(files(cache / "store")) == 3
    assert "damaged: " in ecgedge("store", "ls", ECGEDGE_CACHE=str(cache)).out
    assert "removed 3, " in ecgedge("store", "prune", ECGEDGE_CACHE=str(cache)).out
    assert files(cache / "store") == []


def test_prune_by_age(ecgedge: Command, cache: Path) -> None:
    store = cache / "store"
    old, older, new = sorted(store.iterdir())
    for folder, days in ((old, 10), (older, 40)):
        os.utime(folder / "record.json", (time.time() - days * 86_400,) * 2)
    for name, age in ((".new-dead", 100_000), (".new-alive", 0), (".bad-dead", 100_000)):
        (store / name).mkdir()
        (store / name / "half").write_bytes(bytes(1000))
        os.utime(store / name, (time.time() - age,) * 2)
    (store / "of the user").mkdir()
    size = sum(file.stat().st_size for file in older.iterdir()) + 2000
    told = ecgedge("store", "prune", ECGEDGE_CACHE=str(cache)).out.splitlines()
    assert told[-1] == f"removed 3, {size:,} bytes"
    assert any(line.startswith(older.name[:12]) and "last used 40.0 days ago" in line for line in told)
    assert files(store) == sorted([".new-alive", old.name, new.name, "of the user"])
    ecgedge("store", "prune", "--older-than", "5", ECGEDGE_CACHE=str(cache))
    assert files(store) == sorted([".new-alive", new.name, "of the user"])
    ecgedge("store", "prune", "--all", ECGEDGE_CACHE=str(cache))
    assert files(store) == [".new-alive", "of the user"]


def test_what_is_used_is_not_old(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert matrix(ecgedge, fakes, "run", cache)[0] == 0
    for record in cache.rglob("record.json"):
        os.utime(record, (0, 0))
    assert "would remove 3, " in ecgedge("store", "prune", "--dry-run", ECGEDGE_CACHE=str(cache)).out
    assert matrix(ecgedge, fakes, "again", cache)[0] == 0
    assert "removed 0, 0 bytes" in ecgedge("store", "prune", ECGEDGE_CACHE=str(cache)).out
