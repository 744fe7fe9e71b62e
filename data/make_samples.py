"""Write ``data/samples/``: twelve made-up beats, the same in every format that ecgedge reads.

    python data/make_samples.py

Two classes of six beats, 12 samples each: sines, and sines with a peak; no data of anybody's.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).with_name("samples")


def draw() -> tuple[list[str], np.ndarray]:
    """Labels, and beats ``(12, 12)``, z-normalised one by one and rounded to 4 decimals."""
    time, phases = np.linspace(0, 2 * np.pi, 12), np.linspace(0, 1, 6)
    calm = np.sin(time + phases[:, None])
    steep = calm + 3 * np.exp(-((time - 2 - phases[:, None]) ** 2) * 4)
    x = np.stack([calm, steep], axis=1).reshape(12, 12)
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, ddof=1, keepdims=True)
    return ["calm", "steep"] * 6, np.round(x, 4)


def write(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    labels, x = draw()
    rows = [[f"{value:.4f}" for value in beat] for beat in x]
    lines = [[label, *row] for label, row in zip(labels, rows, strict=True)]
    columns = [f"t{i}" for i in range(12)]
    text = {
        "waves.txt": ["  ".join(line) for line in lines],
        "waves.tsv": ["\t".join(line) for line in lines],
        "waves.csv": [",".join([*columns, "label"]), *(",".join([*line[1:], line[0]]) for line in lines)],
        "waves.ts": [
            "# twelve made-up beats",
            "@problemName waves",
            "@timeStamps false",
            "@univariate true",
            "@equalLength true",
            "@seriesLength 12",
            "@classLabel true calm steep",
            "@data",
            *(f"{','.join(line[1:])}:{line[0]}" for line in lines),
        ],
        "waves.arff": [
            "% twelve made-up beats",
            "@relation waves",
            *(f"@attribute {name} numeric" for name in columns),
            "@attribute target {calm,steep}",
            "@data",
            *(",".join([*line[1:], line[0]]) for line in lines),
        ],
    }
    folder.mkdir(exist_ok=True)
    for name, content in text.items():
        (folder / name).write_text("\n".join(content) + "\n", encoding="utf-8", newline="\n")
    arrays = io.BytesIO()
    np.savez(arrays, x=x.astype(np.float32), y=np.array(labels))
    (folder / "waves.npz").write_bytes(arrays.getvalue())
    np.save(folder / "waves.npy", x.astype(np.float32))
    np.save(folder / "waves_labels.npy", np.array(labels))
    table = pa.table({name: x[:, i] for i, name in enumerate(columns)} | {"label": labels})
    parquet.write_table(table, folder / "waves.parquet")
    with zipfile.ZipFile(folder / "waves.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("waves.txt"), (folder / "waves.txt").read_bytes())


if __name__ == "__main__":
    write(FOLDER)
