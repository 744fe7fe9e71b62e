"""Signatures of bundles and runs: ``SHA256SUMS`` names every file, ``SHA256SUMS.sig`` is its Ed25519 signature.

The sums are what ``sha256sum -c`` reads, the signature is what ``openssl pkeyutl -verify -rawin`` verifies: nobody
needs ecgedge to hold a folder to its key. A signature says who vouches for the files, not that a model is good.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
MOST_SUMS, MOST_KEY, MOST_FILE = 64_000_000, 100_000, 1 << 40  # bytes that are read of the sums, a key and a file
PIECE = 1 << 20
MOST_REASONS = 100

Password = Callable[[], bytes]


# Keys


def read_private(path: Path, password: Password) -> Ed25519PrivateKey:
    """A key to sign with, from PEM. Raises EcgEdgeError where it is none.

    Args:
        password: is asked where the key is encrypted.
    """
    need_library()
    from cryptography.exceptions import UnsupportedAlgorithm  # where something is signed or verified
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = read_key(path)
    try:
        try:
            key = load_pem_private_key(text, None)
        except TypeError:  # it is encrypted
            key = load_pem_private_key(text, password())
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "openssl genpkey -algorithm ed25519 -out KEY.pem makes one"
        raise EcgEdgeError(f"{path} holds no private key that can be read, or another password", hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EcgEdgeError(f"{path} holds no Ed25519 key", "openssl genpkey -algorithm ed25519 -out KEY.pem makes one")
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """A key to verify with, from PEM. Raises EcgEdgeError where it is none."""
    need_library()
    from cryptography.exceptions import UnsupportedAlgorithm  # where something is signed or verified
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    hint = "openssl pkey -in KEY.pem -pubout -out PUBLIC.pem makes one from a private key"
    try:
        key = load_pem_public_key(read_key(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EcgEdgeError(f"{path} holds no public key that can be read", hint) from error
    if not isinstance(key, Ed25519PublicKey):
        raise EcgEdgeError(f"{path} holds no Ed25519 key", hint)
    return key


def read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_KEY)
    except OSError as error:
        raise EcgEdgeError(f"{path} cannot be read: {error.strerror}", "name a key in PEM") from error


def need_library() -> None:
    """Raise EcgEdgeError where cryptography is not installed."""
    if importlib.util.find_spec("cryptography") is None:
        raise EcgEdgeError("signatures need cryptography", "pip install 'ecgedge[sign]'")


# Signing


def sign_folder(folder: Path, key: Ed25519PrivateKey) -> int:
    """Write the sums of all files of a folder and their signature into it; returns how many files there are.

    Raises:
        EcgEdgeError: something in it cannot be signed: a link, a device, a name that is not one line.
        OSError: it cannot be read or written.
    """
    place = Folder(folder)
    names = [name for name in place.names() if name not in (SUMS, SIGNATURE)]
    for name in names:
        if odd := place.odd(name) or ("has a name that is no plain line" if not is_plain(name) else ""):
            raise EcgEdgeError(f"{name} in {folder} {odd}, which cannot be signed", "delete it, then sign again")
    sums = "".join(f"{place.digest(name)}  {name}\n" for name in names).encode()
    for name, content in ((SUMS, sums), (SIGNATURE, key.sign(sums))):
        scratch = folder / f".{name}"
        scratch.write_bytes(content)
        scratch.replace(folder / name)
    return len(names)


def is_plain(name: str) -> bool:
    """Whether a name can stand in the sums as it is."""
    return name.isprintable() and "\\" not in name


# Verifying


@dataclass(frozen=True)
class Verified:
    """Attributes:
    files: that are as they were signed.
    reasons: why it is not what was signed, a line each; empty: it is.
    """

    files: int
    reasons: list[str]


def verify(place: Path, key: Ed25519PublicKey) -> Verified:
    """Hold a folder, or a zip with one folder, to its signature: nothing missing, nothing changed, nothing besides.

    Nothing in it is read before its sums are known to be signed by that key, and nothing but bytes then.

    Raises:
        EcgEdgeError: it cannot be read at all.
    """
    from cryptography.exceptions import InvalidSignature  # ``read_public`` found it

    with opened(place) as files:
        names = files.names()
        if lacking := [name for name in (SUMS, SIGNATURE) if name not in names or files.odd(name)]:
            return Verified(0, [f"not signed: {lacking[0]} is missing"])
        sums = files.read(SUMS, MOST_SUMS)
        try:
            key.verify(files.read(SIGNATURE, MOST_KEY), sums)
        except InvalidSignature:
            return Verified(0, [f"{SIGNATURE} is not of that key, or {SUMS} is not what was signed"])
        claimed = read_sums(sums)
        reasons = [f"{name} is missing" for name in claimed if name not in names]
        reasons += [f"{name} was not signed" for name in names if name not in (*claimed, SUMS, SIGNATURE)]
        sound = 0
        for name in claimed:
            if name in names:
                odd = files.odd(name) or ("" if files.digest(name) == claimed[name] else "is not what was signed")
                reasons += [f"{name} {odd}"] * bool(odd)
                sound += not odd
        if len(reasons) > MOST_REASONS:
            reasons[MOST_REASONS:] = [f"and {len(reasons) - MOST_REASONS} more"]
        return Verified(sound, reasons)


def read_sums(sums: bytes) -> Mapping[str, str]:
    """SHA-256 by name. Raises EcgEdgeError where a line is no such thing."""
    found: dict[str, str] = {}
    for text in sums.decode("utf-8", "replace").splitlines():
        line = LINE.fullmatch(text)
        if not line or line[2] in found:
            raise EcgEdgeError(f"{SUMS} was signed and cannot be read", "ask whoever signed it")
        found[line[2]] = line[1]
    return found


@contextmanager
def opened(place: Path) -> Iterator[Folder | Zip]:
    """The files of a folder, or of a zip with one folder. Raises EcgEdgeError where it cannot be read."""
    try:
        if place.is_dir():
            yield Folder(place)
            return
        with zipfile.ZipFile(place) as archive:
            yield Zip(archive)
    except (OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        told = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        raise EcgEdgeError(f"{place} cannot be verified: {told}", "name the folder of a run, or a bundle") from error


class Folder:
    """The files below a folder, by their names in it."""

    def __init__(self, root: Path):
        self.root = root

    def names(self) -> list[str]:
        """All but folders, sorted."""
        found = (file for file in self.root.rglob("*") if file.is_symlink() or not file.is_dir())
        return sorted(file.relative_to(self.root).as_posix() for file in found)

    def odd(self, name: str) -> str:
        """What it is where it is no plain file; links are not followed."""
        return "" if stat.S_ISREG((self.root / name).lstat().st_mode) else "is no plain file"

    def open(self, name: str) -> IO[bytes]:
        return (self.root / name).open("rb")

    def read(self, name: str, most: int) -> bytes:
        with self.open(name) as file:
            return file.read(most)

    def digest(self, name: str) -> str:
        """SHA-256, read in pieces; of a file that is larger than anything that we make, of its beginning."""
        digest, left = hashlib.sha256(), MOST_FILE
        with self.open(name) as file:
            while left > 0 and (piece := file.read(PIECE)):
                digest.update(piece)
                left -= len(piece)
        return digest.hexdigest()


class Zip(Folder):
    """The files in the one folder that a zip holds."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        every = [entry for entry in archive.infolist() if not entry.is_dir()]
        tops = {entry.filename.partition("/")[0] for entry in every}
        self.entries = {entry.filename.partition("/")[2]: entry for entry in every}
        if len(tops) != 1 or len(self.entries) != len(every) or "" in self.entries:
            raise ValueError("it does not hold one folder, and each name once")

    def names(self) -> list[str]:
        return sorted(self.entries)

    def odd(self, name: str) -> str:
        mode = self.entries[name].external_attr >> 16
        return "" if not stat.S_IFMT(mode) or stat.S_ISREG(mode) else "is no plain file"

    def open(self, name: str) -> IO[bytes]:
        return self.archive.open(self.entries[name])
