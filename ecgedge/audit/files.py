"""The artifacts: there, unchanged, as large as claimed, and made by the libraries that the run names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from ecgedge.audit.findings import Findings
from ecgedge.audit.reading import JSON_BYTES, as_json, open_file, read_bytes
from ecgedge.audit.run import Run


def check_artifacts(run: Run, findings: Findings) -> None:
    hashed: dict[Path, tuple[str, int]] = {}
    for cell in run.scored:
        if packed := run.artifact(cell):
            with findings.reading(cell, "its artifact"):
                check_artifact(run, cell, packed, hashed, findings)
                check_provenance(run, cell, packed["record"], findings)


def check_kept(run: Run, findings: Findings) -> None:
    """The files whose SHA-256 the run recorded: ``files`` of ``run.json``, and of what was scored of each cell."""
    told = [("run.json", run.about.get("files", {}))]
    told += [(cell, record.get("files", {})) for cell, record in run.scored.items()]
    for where, files in told:
        for name, claimed in files.items():
            with findings.reading(where, name):
                found = hashed_file(run.folder, name)[0]
                if found != claimed:
                    findings.wrong(where, f"{name}: SHA-256 {claimed[:12]} is claimed, {found[:12]} was found")
                findings.digests += found == claimed


def check_artifact(
    run: Run, cell: str, packed: dict[str, Any], hashed: dict[Path, tuple[str, int]], findings: Findings
) -> None:
    """Digest and size of the file, or folder, in the run.

    Args:
        hashed: what was found of those that were looked at before.
    """
    row, record = run.base(cell), packed["record"]
    path = run.folder / packed["path"]
    if not packed["path"].startswith("artifacts/") or ".." in path.parts or not path.exists():
        findings.wrong(cell, f"its artifact {packed['path']} is not in the run's folder")
        return
    if path not in hashed:
        hashed[path] = digest_and_size(run.folder, packed["path"])
        findings.digests += hashed[path][0] == record["digest"]
    digest, size = hashed[path]
    for name, claimed, found in (
        ("digest", row.get("digest"), record["digest"]),
        ("digest", record["digest"], digest),
        ("artifact", row.get("artifact"), packed["path"]),
        ("format", row["format"], record["format"]),
        ("precision", row["precision"], record["precision"]),
    ):
        if claimed != found:
            findings.wrong(cell, f"{name} of its artifact: {claimed} is claimed, {found} was found")
    findings.hold(row, "size_bytes", size)


def check_provenance(run: Run, cell: str, record: dict[str, Any], findings: Findings) -> None:
    """Made of the model that the run names, with the versions that it names, or its part's environment holds."""
    source = run.about["sources"][run.base(cell)["model"]]
    if source not in record["parents"]:
        findings.wrong(cell, f"its artifact was not made of the model {source[:12]}")
    maker = record["maker"]
    place = run.about.get("environments", {}).get(maker.get("environment"), run.about["versions"])
    told = [(maker.get("distribution"), maker.get("version"), run.about["versions"])]
    told += [(name, version, place) for name, version in maker.get("libraries", {}).items()]
    for name, version, versions in told:
        known = versions.get(name)
        if known not in (None, version):
            findings.wrong(cell, f"its artifact was made with {name} {version}, run.json says {known}")


def digest_and_size(folder: Path, name: str) -> tuple[str, int]:
    """SHA-256 and bytes of a file; of a folder over names, lengths and bytes of its files, in order.

    A folder with a ``model.json`` is a checkpoint: that file, and those that it names.
    """
    if not (folder / name).is_dir():
        return hashed_file(folder, name)
    if (folder / name / "model.json").exists():
        told = as_json(read_bytes(folder, f"{name}/model.json", JSON_BYTES))
        files = sorted(["model.json", *told["files"]])
    else:
        files = sorted(names_below(folder / name), key=lambda file: file.split("/"))
    digest, size = hashlib.sha256(), 0
    for file in files:
        content = read_bytes(folder, f"{name}/{file}")
        size += len(content)
        digest.update(file.encode() + b"\0" + str(len(content)).encode() + b"\0" + content)
    return digest.hexdigest(), size


def names_below(folder: Path) -> list[str]:
    """Of all that is no folder, relative."""
    return [
        "/".join([*Path(place).relative_to(folder).parts, name])
        for place, _, names in os.walk(folder)
        for name in names
    ]


def hashed_file(folder: Path, name: str) -> tuple[str, int]:
    """SHA-256 and bytes of a file."""
    digest, size = hashlib.sha256(), 0
    with open_file(folder, name) as file:
        while piece := file.read(2**20):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size
