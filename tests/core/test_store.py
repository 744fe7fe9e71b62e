"""The store: same key, same file; damage is noticed; nothing half-written is found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from ecgedge import Artifact, Classification, EcgEdgeError, TensorSpec
from ecgedge.api.artifact import digest_of
from ecgedge.api.records import from_record
from ecgedge.convert.store import Store, key_of, maker_of
from ecgedge.testing import FakeExporter, FakeInt8

SPEC = TensorSpec("x", (None, 1, 3), "float32", "NCL")
SOURCE = Artifact(Path("s"), "numpy", "fp32", Classification(("a",)), SPEC, SPEC, "net", digest="d" * 64)


def build(out: Path) -> Artifact:
    out.write_text("weights")
    (out.parent / "scratch").write_text("left behind by a converter")
    return SOURCE.derive(out, format="fake")


def never(out: Path) -> Artifact:
    raise AssertionError("built again")


def test_made_once_then_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made = store.make("key", "net.fake", {"part": "p"}, build)
    assert made.path.read_text() == "weights"
    assert made.digest == digest_of(made.path)
    assert made.parents == ("d" * 64,)
    assert sorted(path.name for path in made.path.parent.iterdir()) == ["net.fake", "record.json"]
    assert store.make("key", "net.fake", {"part": "p"}, never) == made
    assert Store(tmp_path / "store").find("key") == made


@pytest.mark.parametrize("fails", [False, True])
def test_two_threads_that_want_the_same_share_one_build(tmp_path: Path, fails: bool) -> None:
    store, begun, go_on, built = Store(tmp_path), Event(), Event(), []

    def slowly(out: Path) -> Artifact:
        built.append(out)
        begun.set()
        assert go_on.wait(60)
        if fails:
            raise RuntimeError("died")
        return build(out)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.make, "key", "net.fake", {}, slowly)
        assert begun.wait(60)
        second = pool.submit(store.make, "key", "net.fake", {}, never)
        assert not wait([second], 0.2).done
        go_on.set()
        told = [future.exception() and str(future.exception()) for future in (first, second)]
    assert len(built) == 1 and told == (["died"] * 2 if fails else [None] * 2)
    if not fails:
        assert first.result() == second.result()
    assert store.make("key", "net.fake", {}, build).path.read_text() == "weights"  # what failed can be made later


@pytest.mark.parametrize("damage", ["content", "record", "gone"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    made = store.make("key", "net.fake", {}, build)
    if damage == "content":
        made.path.write_text("weighty")
    elif damage == "record":
        (made.path.parent / "record.json").write_text("{")
    else:
        made.path.unlink()
    assert store.find("key") is None
    assert store.make("key", "net.fake", {}, build).path.read_text() == "weights"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def half(out: Path) -> Artifact:
        out.write_text("half")
        raise RuntimeError("died")

    store = Store(tmp_path)
    with pytest.raises(RuntimeError):
        store.make("key", "net.fake", {}, half)
    assert list(tmp_path.iterdir()) == []


def test_the_key_holds_all_that_the_result_depends_on() -> None:
    maker = maker_of(FakeExporter(), "dist", "1", {})
    base = key_of(SOURCE, maker, batch=1, seed=0, calibration=None)
    others = [
        key_of(replace(SOURCE, digest="e"), maker, batch=1, seed=0, calibration=None),
        key_of(replace(SOURCE, name="other"), maker, batch=1, seed=0, calibration=None),
        key_of(replace(SOURCE, parents=("e" * 64,)), maker, batch=1, seed=0, calibration=None),
        key_of(SOURCE, maker, batch=64, seed=0, calibration=None),
        key_of(SOURCE, maker, batch=1, seed=1, calibration=None),
        key_of(SOURCE, maker, batch=1, seed=0, calibration="c"),
        key_of(SOURCE, maker_of(FakeExporter(), "dist", "2", {}), batch=1, seed=0, calibration=None),
        key_of(SOURCE, maker_of(FakeExporter(), "dist", "1", {"opset": 18}), batch=1, seed=0, calibration=None),
        key_of(SOURCE, maker_of(FakeInt8(), "dist", "1", {}), batch=1, seed=0, calibration=None),
        key_of(SOURCE, maker | {"libraries": {"torch": "9"}}, batch=1, seed=0, calibration=None),
    ]
    assert base == key_of(SOURCE, maker, batch=1, seed=0, calibration=None)
    assert len({base, *others}) == 1 + len(others)


def test_a_record_survives_the_journey(tmp_path: Path) -> None:
    spec = TensorSpec("q", (1, 140, 1), "int8", "NLC", 0.5, -3)
    artifact = replace(SOURCE, input=spec, parents=("a" * 64, "b" * 64), maker={"part": "p"})
    assert from_record(artifact.path, artifact.record()) == artifact


def test_an_unwritable_store_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EcgEdgeError, match="cannot be written"):
        Store(tmp_path / "file" / "store")
