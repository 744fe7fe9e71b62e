"""Is this bundle whole, and does its model answer here as where it was made? ``python check.py``; exit code 1: no."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def damage() -> Iterator[str]:
    """What is not as SHA256SUMS says, a line a file."""
    for line in (HERE / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        if not (HERE / name).is_file():
            yield f"{name} is missing"
        elif hashlib.sha256((HERE / name).read_bytes()).hexdigest() != digest:
            yield f"{name} is not what was bundled"


def main() -> None:
    if found := list(damage()):
        sys.exit("\n".join(found))
    sys.path.insert(0, str(HERE))
    import predict  # here: it loads the model, which is whole

    beats = np.loadtxt(HERE / "vectors" / "beats.csv", delimiter=",", dtype=np.float32, ndmin=2)
    outputs, told = predict.run(beats), predict.RECORD["vectors"]
    expected = np.loadtxt(HERE / "vectors" / "outputs.csv", delimiter=",", ndmin=2).astype(outputs.dtype)
    difference = np.abs(outputs.astype(np.float64) - expected.astype(np.float64)).max()
    count = f"{len(beats)} beat{'s' * (len(beats) != 1)}"
    print(f"{count}, largest difference {difference:.3g} {told['unit']}; {told['tolerance']:.3g} is allowed")
    column = 1 if predict.TASK["kind"] == "anomaly" else 0
    pairs = zip(predict.decide(beats, outputs), predict.decide(beats, expected))
    print(f"decisions that differ: {sum(here[column] != there[column] for here, there in pairs)}")
    if not difference <= told["tolerance"]:  # nor where it is nan
        sys.exit("the model does not answer here as where it was bundled")


if __name__ == "__main__":
    main()
