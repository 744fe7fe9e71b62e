"""Whatever a file holds, it is read or refused with an EcgEdgeError; ``benchmarks/fuzz_readers.py`` tries more."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ecgedge import EcgEdgeError
from ecgedge.data.finding import read_path
from ecgedge.data.readers import SUFFIXES

FOLDER = Path(__file__).parents[2] / "data" / "samples"
SAMPLES = {path.suffix: path.read_bytes() for path in FOLDER.glob("waves.*")}
LABELS = (FOLDER / "waves_labels.npy").read_bytes()
ALL = (*SUFFIXES, ".zip")
EXAMPLES = 200  # of each format, in the test suite
TOKENS = (
    b",", b":", b"\t", b" ", b"\n", b"\r", b"?", b"nan", b"-inf", b"1e999", b"1e39", b"1_0", b"\x00",
    b"\xff", b"\xef\xbb\xbf", b"'", b'"', b"{", b"}", b"%", b"#", b"@data\n", b"@attribute a {x,y}\n",
    b"@attribute s string\n", b"@attribute d date 'yyyy'\n", b"@relation r\n", b"@classLabel true 1\n", b"label",
    b"calm", b"9" * 400, b"(1,)", b"<U9", b"../", b"/", b"_TRAIN", b"PK\x05\x06", "é٣".encode(),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, sample: bytes) -> bytes:
    """A sample after some flips, cuts, insertions and duplications."""
    data = bytearray(sample)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.one_of(st.integers(1, 8), st.integers(1, len(sample)))))
        match draw(st.sampled_from(["flip", "cut", "insert", "token", "duplicate", "end"])):
            case "flip" if at < len(data):
                data[at] ^= draw(st.integers(1, 255))
            case "cut":
                del data[at:end]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "token":
                data[at:at] = draw(st.sampled_from(TOKENS))
            case "duplicate":
                data[at:at] = data[at:end]
            case "end":
                del data[at:]
    return bytes(data)


@st.composite
def repacked(draw: st.DrawFn, sample: bytes) -> bytes:
    """A zip that is whole, of entries that are mutated: so that the readers behind it see them."""
    out = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),  # of a name that comes twice, which is one of the mutations
        zipfile.ZipFile(io.BytesIO(sample)) as source,
        zipfile.ZipFile(out, "w") as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if draw(st.integers(0, 4)) == 0:
                name = draw(mutated(name.encode())).decode("utf-8", "replace") or "x"
            target.writestr(zipfile.ZipInfo(name), draw(mutated(content)) if draw(st.booleans()) else content)
    return out.getvalue()


def inputs(suffix: str) -> st.SearchStrategy[bytes]:
    """Files of one format: near to the sample, made of its words, or of nothing but chance."""
    words = st.lists(st.sampled_from([*TOKENS, b"1.5", b"0", b"a", b"@data\n"]), max_size=40).map(b"".join)
    kinds = [mutated(SAMPLES[suffix]), mutated(SAMPLES[suffix]), words, st.binary(max_size=200)]
    return st.one_of(*kinds, repacked(SAMPLES[suffix])) if suffix in (".npz", ".zip") else st.one_of(*kinds)


def attempt(path: Path, content: bytes) -> bool:
    """Whether the file was read. Raises where it was neither read rightly nor refused rightly."""
    path.write_bytes(content)
    if path.suffix == ".npy":
        path.with_name(f"{path.stem}_labels.npy").write_bytes(LABELS)
    try:
        data, _ = read_path(path)
    except EcgEdgeError as error:
        assert 0 < len(error.message) < 300, error.message
        assert "\n" not in error.message
        return False
    assert len(data.train) and len(data.test) and data.length
    for split in (data.train, data.test):
        assert split.x.dtype == np.float32 and np.isfinite(split.x).all()
        assert split.x.shape == (len(split.y), data.leads, data.length) and data.leads
        assert split.y.min() >= 0 and split.y.max() < data.classes
    assert all(label and label.isprintable() for label in data.labels)
    return True


def fuzz(path: Path, examples: int, start: int = 0) -> tuple[int, int]:
    """Try ``examples`` files named ``path``, drawn from the seed ``start``. Returns how many were read and refused."""
    counts = [0, 0]

    @seed(start)
    @settings(max_examples=examples, deadline=None, database=None,
              phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(inputs(path.suffix))
    def tries(content: bytes) -> None:
        counts[not attempt(path, content)] += 1

    tries()
    return counts[0], counts[1]


@pytest.mark.parametrize("suffix", ALL)
def test_a_file_is_read_or_refused(tmp_path: Path, suffix: str) -> None:
    read, refused = fuzz(tmp_path / f"f{suffix}", EXAMPLES)
    assert read + refused >= EXAMPLES * 0.9
    assert refused


@pytest.mark.parametrize("suffix", ALL)
def test_the_fuzz_begins_with_files_that_are_read(tmp_path: Path, suffix: str) -> None:
    assert attempt(tmp_path / f"f{suffix}", SAMPLES[suffix])
