"""Bundles and runs that are signed: verified by our command and by openssl, and refused where anything is otherwise."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ecgedge import Artifact, Classification, TensorSpec, bundle
from ecgedge.audit.signature import SIGNATURE, SUMS, sign_folder
from ecgedge.bundle import Facts, Vectors
from ecgedge.cli import main
from ecgedge.data.dataset import Dataset
from ecgedge.data.synthetic import synthetic_beats
from ecgedge.testing import write_fake_checkpoint
from tests.conftest import FAKES, Result, error_of, run_command

RAW = serialization.NoEncryption()


def write_pair(folder: Path, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, name: str = "") -> None:
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, RAW)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}key.pem").write_bytes(private)
    (folder / f"{name}public.pem").write_bytes(public)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``key.pem`` and ``public.pem``; the same of somebody else, and of a curve that is not ours."""
    folder = tmp_path_factory.mktemp("keys")
    write_pair(folder, ed25519.Ed25519PrivateKey.generate())
    write_pair(folder, ed25519.Ed25519PrivateKey.generate(), "other-")
    write_pair(folder, ec.generate_private_key(ec.SECP256R1()), "p256-")
    return folder


def check(*arguments: str | Path, **more: str) -> Result:
    """The command, in this process: it starts none."""
    done = CliRunner().invoke(main, ["check", *map(str, arguments)], **more)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


def with_key(keys: Path, name: str = "key.pem") -> ed25519.Ed25519PrivateKey:
    key = serialization.load_pem_private_key((keys / name).read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key


def bundled(keys: Path, target: Path) -> Path:
    """A bundle as ``bundle --sign`` places it, of a model that is none."""
    x, y = TensorSpec("x", (1, 140, 1), "float32", "NLC"), TensorSpec("y", (1, 2), "float32", "NC")
    model = Artifact(Path("m"), "tflite", "fp32", Classification(("a", "b")), x, y, "net", digest="0" * 64)
    vectors = Vectors.of(model, synthetic_beats(20, 140), np.zeros((20, 2), np.float32), "beats")
    files = bundle.contents(model, {f"model.{model.format}": b"model"}, vectors, Facts("net", "net.tflite"))
    bundle.place(files | {SIGNATURE: with_key(keys).sign(files[SUMS])}, "net", target)
    return target


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> Path:
    """A run of fakes."""
    folder = tmp_path_factory.mktemp("signed")
    few = replace(beats, test=beats.test.take(np.arange(600)))
    checkpoint = write_fake_checkpoint(folder / "checkpoint", few)
    (folder / "plugins").mkdir()
    (folder / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    asked = ("--model", "fake", "--dataset", "synthetic", "--profile", "quick", "--quantizer", "none", "--out", "run")
    done = run_command("--plugins-dir", "plugins", "matrix", *asked, folder=folder)
    assert done.code == 0, done.err
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_run_that_holds_is_signed_and_verified(run: Path, keys: Path) -> None:
    done = check(run, "--sign", keys / "key.pem")
    assert done.code == 0 and "files are signed" in done.out
    done = check(run, "--verify", keys / "public.pem")
    assert done.code == 0 and "files are as they were signed" in done.out and "figures of" in done.out
    names = {file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file()}
    assert {line.split("  ")[1] for line in (run / SUMS).read_text().splitlines()} == names - {SUMS, SIGNATURE}
    assert json.loads(check(run, "--verify", keys / "public.pem", "--json").out)["holds"] is True


def test_others_verify_it_too(run: Path, keys: Path) -> None:
    if not (shutil.which("openssl") and shutil.which("sha256sum")):
        pytest.skip("no openssl or sha256sum here")
    assert check(run, "--sign", keys / "key.pem").code == 0
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", SUMS], cwd=run, check=True)
    openssl = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-in", SUMS, "-sigfile", SIGNATURE, "-inkey"]
    assert subprocess.run([*openssl, keys / "public.pem"], cwd=run, capture_output=True).returncode == 0
    assert subprocess.run([*openssl, keys / "other-public.pem"], cwd=run, capture_output=True).returncode != 0


def test_what_does_not_hold_is_not_signed(run: Path, keys: Path) -> None:
    with (run / "rows.jsonl").open("a") as file:
        file.write("{}\n")
    done = check(run, "--sign", keys / "key.pem")
    assert done.code == 1 and "signed" not in done.out
    assert not (run / SIGNATURE).exists()


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_signed_bundle_is_verified(tmp_path: Path, keys: Path, kind: str) -> None:
    made = bundled(keys, tmp_path / ("b.zip" if kind == "zip" else "b"))
    done = check(made, "--verify", keys / "public.pem")
    assert (done.code, done.err) == (0, "") and done.out == "13 files are as they were signed\n"
    assert "not of that key" in check(made, "--verify", keys / "other-public.pem").out


def replace_file(folder: Path) -> None:
    (folder / "predict.py").write_text("import os")


def add_file(folder: Path) -> None:
    (folder / "vectors" / "sitecustomize.py").write_text("import os")


def link_file(folder: Path) -> None:
    shutil.copy(folder / "LICENSE", folder.parent / "elsewhere")
    (folder / "LICENSE").unlink()
    (folder / "LICENSE").symlink_to(folder.parent / "elsewhere")


def sign_otherwise(folder: Path) -> None:
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    (folder / SUMS).write_text("".join(lines[1:]))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (replace_file, "predict.py is not what was signed"),
    "missing": (lambda folder: (folder / "labels.json").unlink(), "labels.json is missing"),
    "extra": (add_file, "vectors/sitecustomize.py was not signed"),
    "a link": (link_file, "LICENSE is no plain file"),
    "sums changed": (sign_otherwise, f"{SIGNATURE} is not of that key, or {SUMS} is not what was signed"),
    "no signature": (lambda folder: (folder / SIGNATURE).unlink(), f"not signed: {SIGNATURE} is missing"),
    "no sums": (lambda folder: (folder / SUMS).unlink(), f"not signed: {SUMS} is missing"),
    "a short signature": (lambda folder: (folder / SIGNATURE).write_bytes(b"x"), f"{SIGNATURE} is not of that key, or "
                          f"{SUMS} is not what was signed"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_is_otherwise_is_told_in_one_line(tmp_path: Path, keys: Path, what: str) -> None:
    change, told = CHANGES[what]
    made = bundled(keys, tmp_path / "b")
    change(made)
    done = check(made, "--verify", keys / "public.pem")
    assert (done.code, done.out) == (1, f"{told}\n")


def test_a_run_whose_signature_fails_is_not_looked_into(run: Path, keys: Path) -> None:
    assert check(run, "--sign", keys / "key.pem").code == 0
    (run / "run.json").write_text("[" * 100_000)
    done = check(run, "--verify", keys / "public.pem")
    assert (done.code, done.out) == (1, "run.json is not what was signed\n")


def test_a_zip_that_is_odd_is_refused(tmp_path: Path, keys: Path) -> None:
    made = bundled(keys, tmp_path / "b.zip")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(made, "a") as archive:
        archive.writestr("net/predict.py", "import os")
    assert "each name once" in error_of(check(made, "--verify", keys / "public.pem"))
    made.write_bytes(b"PK\x03\x04 no zip")
    assert "cannot be verified" in error_of(check(made, "--verify", keys / "public.pem"))


def test_what_cannot_be_signed_is_named(tmp_path: Path, keys: Path) -> None:
    for number, name in enumerate(("a\nb", "back\\slash", "x\u202ey")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).touch()
        with pytest.raises(Exception, match="cannot be signed"):
            sign_folder(folder, with_key(keys))
        assert not (folder / SUMS).exists()


def test_the_users_mistakes(tmp_path: Path, run: Path, keys: Path) -> None:
    made = bundled(keys, tmp_path / "b")
    assert "is a bundle" in error_of(check(made))
    assert "is a bundle" in error_of(check(made, "--sign", keys / "key.pem"))
    assert "holds no public key" in error_of(check(made, "--verify", keys / "key.pem"))
    assert "holds no private key" in error_of(check(run, "--sign", keys / "public.pem"))
    assert "no Ed25519 key" in error_of(check(run, "--sign", keys / "p256-key.pem"))
    assert "no Ed25519 key" in error_of(check(run, "--verify", keys / "p256-public.pem"))
    assert "cannot be read" in error_of(check(run, "--verify", keys / "nowhere.pem"))
    assert "cannot be verified" in error_of(check(tmp_path / "nowhere", "--verify", keys / "public.pem"))


def test_an_encrypted_key_asks_for_its_password(run: Path, keys: Path, tmp_path: Path) -> None:
    secret = serialization.BestAvailableEncryption(b"open sesame")
    key = with_key(keys).private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    (tmp_path / "locked.pem").write_bytes(key)
    assert check(run, "--sign", tmp_path / "locked.pem", input="open sesame\n").code == 0
    assert check(run, "--verify", keys / "public.pem").code == 0
    assert "another password" in check(run, "--sign", tmp_path / "locked.pem", input="wrong\n").err


def test_without_the_library_it_is_said(run: Path, keys: Path) -> None:
    probe = (
        "import sys, importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'cryptography' else find(name, *more)\n"
        f"sys.argv = ['ecgedge', 'check', {str(run)!r}, '--verify', {str(keys / 'public.pem')!r}]\n"
        "from ecgedge.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert "pip install 'ecgedge[sign]'" in error_of(Result(done.returncode, done.stdout, done.stderr))
