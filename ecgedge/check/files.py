"""The artifacts: there, unchanged, as large as claimed, and made by the libraries that the run names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ecgedge.check.findings import Findings
from ecgedge.check.run import Run


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
                found = hashlib.sha256((run.folder / name).read_bytes()).hexdigest()
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
    path = (run.folder / packed["path"]).resolve()
    if (run.folder / "artifacts").resolve() not in path.parents or not path.exists():
        findings.wrong(cell, f"its artifact {packed['path']} is not in the run's folder")
        return
    if path not in hashed:
        hashed[path] = digest_and_size(path)
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


def digest_and_size(path: Path) -> tuple[str, int]:
    """SHA-256 and bytes of a file; of a folder over names, lengths and bytes of its files, in order.

    A folder with a ``model.json`` is a checkpoint: that file, and those that it names.
    """
    if path.is_file():
        content = path.read_bytes()
        return hashlib.sha256(content).hexdigest(), len(content)
    if (path / "model.json").is_file():
        names = sorted(["model.json", *json.loads((path / "model.json").read_text(encoding="utf-8"))["files"]])
        files = [path / name for name in names]
    else:
        files = sorted((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.parts)
    digest, size = hashlib.sha256(), 0
    for file in files:
        content = file.read_bytes()
        size += len(content)
        name = "/".join(file.relative_to(path).parts)
        digest.update(name.encode() + b"\0" + str(len(content)).encode() + b"\0" + content)
    return digest.hexdigest(), size
