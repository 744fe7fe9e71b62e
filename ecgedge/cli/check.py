"""``ecgedge check``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecgedge.errors import EcgEdgeError, counted
from ecgedge.files import escape

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ecgedge.audit import Findings
    from ecgedge.audit.signature import Verified


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--verify", "public", type=click.Path(path_type=Path), metavar="PUBLIC.pem",
              help="First verify its signature with this public key; a bundle's, folder or zip, too.")  # fmt: skip
@click.option("--sign", "private", type=click.Path(path_type=Path), metavar="KEY.pem",
              help="Sign the run with this Ed25519 key, where everything holds.")  # fmt: skip
@click.pass_context
def check(ctx: click.Context, run: Path, as_json: bool, public: Path | None, private: Path | None) -> None:
    """Compute every figure of a run once more, from the outputs and samples in its folder.

    Exits with 1 where something does not hold, and says what. Of a bundle only the signature is verified; what
    `ecgedge portability -o FOLDER` kept is checked as a run is.

    \b
    ecgedge check runs/int8
    ecgedge check runs/int8 --sign key.pem
    ecgedge check tcn.zip --verify public.pem
    """
    from ecgedge.audit import Findings, check_certificate, check_run, is_certificate

    if is_bundle(run) and (private or not public):
        hint = (
            "ecgedge bundle --sign signs it" if private else "--verify holds it to its signature, its check.py runs it"
        )
        raise EcgEdgeError(f"{run} is a bundle, and no run", hint)
    key = private and signing_key(private)
    signed = verified(run, public) if public else None
    findings = Findings(reasons=signed.reasons) if signed else Findings()
    if not findings.reasons and not is_bundle(run):
        findings = check_certificate(run) if is_certificate(run) else check_run(run)
    if signed and not findings.reasons:
        verb = "is as it was" if signed.files == 1 else "are as they were"
        findings.notes.insert(0, f"{counted(signed.files, 'file')} {verb} signed")
    if key and not findings.reasons:
        findings.notes.append(sign(run, key))
    click.echo(json.dumps(as_data(findings), indent=1) if as_json else told(findings))
    if findings.reasons:
        ctx.exit(1)


def is_bundle(place: Path) -> bool:
    """Whether it is a bundle, by what lies there: a zip, or a folder with a record beside a predict.py."""
    return place.is_file() or all((place / name).is_file() for name in ("record.json", "predict.py"))


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file; its password is asked for on the terminal where it has one."""
    from ecgedge.audit import signature

    return signature.read_private(path, lambda: click.prompt("password of the key", hide_input=True, err=True).encode())


def verified(place: Path, public: Path) -> Verified:
    from ecgedge.audit import signature

    return signature.verify(place, signature.read_public(public))


def sign(run: Path, key: Ed25519PrivateKey) -> str:
    """Sign a run's folder, and say so. Raises EcgEdgeError where that cannot be done."""
    from ecgedge.audit import signature

    try:
        files = signature.sign_folder(run, key)
        return f"{counted(files, 'file')} {'is' if files == 1 else 'are'} signed: {run / signature.SIGNATURE}"
    except OSError as error:
        raise EcgEdgeError(f"{run} cannot be signed: {error.strerror}", "see whether it can be written") from error


def as_data(findings: Findings) -> dict[str, object]:
    return {
        "holds": not findings.reasons,
        "figures": findings.figures,
        "rows": findings.rows,
        "digests": findings.digests,
        "reasons": findings.reasons,
        "not_checked": findings.unchecked,
        "notes": findings.notes,
    }


def told(findings: Findings) -> str:
    lines = findings.reasons
    if not lines and findings.rows:
        files = f"{findings.digests:,} files' digests hold" if findings.digests != 1 else "1 file's digest holds"
        figures = f"{counted(findings.figures, 'figure')} of {counted(findings.rows, 'row')}"
        lines = [f"{figures} {'holds' if findings.figures == 1 else 'hold'}, {files}"]
    unchecked = (f"not checked: {name}" for name in findings.unchecked)
    return "\n".join(map(escape.line, [*lines, *unchecked, *findings.notes]))
