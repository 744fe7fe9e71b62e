"""Download a zip of beats, whole and checked or not at all."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ecgedge.data.readers import unpack
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape
from ecgedge.files.locks import swap_in
from ecgedge.files.notices import is_printed

CONNECT_SECONDS = 5
READ_SECONDS = 30


class DownloadError(EcgEdgeError):
    """The archive could not be reached or gave something else."""


def download(url: str, folder: Path, names: tuple[str, ...], check: Callable[[Path], object]) -> Path:
    """Fetch a zip of ECG5000 and put its files ``names`` into ``folder``, with a bar on stderr for the command line.

    All is done in a temporary folder beside it, which is renamed at the end; what was there before is
    replaced then, and stays where anything fails.

    Args:
        url: of the zip.
        folder: to make or replace; its parent is made.
        names: the entries to unpack; others are left out.
        check: raises EcgEdgeError where the folder it is given does not hold what it must.

    Returns:
        ``folder``.

    Raises:
        DownloadError: the server does not answer, or not in time, or not with a whole and right zip.
        EcgEdgeError: the parent of ``folder`` cannot be written.
    """
    import pooch  # here, since it brings requests

    pooch.get_logger().setLevel(logging.ERROR)
    fetcher = pooch.HTTPDownloader(progressbar=is_printed(), timeout=(CONNECT_SECONDS, READ_SECONDS))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder.parent)
    except OSError as error:
        raise EcgEdgeError(
            f"the cache {folder.parent} cannot be written: {error.strerror}", "set ECGEDGE_CACHE to another folder"
        ) from error
    try:
        with scratch:
            # no known hash: the zip may be packed anew; the digest of its beats is checked
            with contextlib.redirect_stderr(escape.raw(sys.stderr)):  # its bar moves the cursor, and tells no names
                fetched = pooch.retrieve(url, None, fname="archive.zip", path=scratch.name, downloader=fetcher)
            fresh = Path(scratch.name, "fresh")
            fresh.mkdir()
            unpack(Path(fetched), fresh, lambda name: name in names)
            check(fresh)
            swap_in(fresh, folder, Path(scratch.name, "old"))  # there may be an earlier copy, or what it left
    except EcgEdgeError as error:
        told = error.message.replace(f"{fresh}/", "").replace(str(fresh), "it").replace(f"{scratch.name}/", "")
        raise DownloadError(f"{url} did not hold ECG5000: {told}", error.hint) from error
    except Exception as error:  # whatever the network or the disk did
        raise DownloadError(
            f"ECG5000 could not be downloaded from {url} ({reason(error)})",
            "set ECGEDGE_DATA to a folder with ECG5000_TRAIN.txt and ECG5000_TEST.txt for the real data",
        ) from error
    return folder


def reason(error: Exception) -> str:
    """What went wrong, in a word or two: the server's status where it gave one."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
