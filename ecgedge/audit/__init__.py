"""Check a run's folder: every figure once more, from the outputs and samples that lie in it.

Nothing here is shared with what made the figures. The definitions are those of
``docs/how-figures-are-made.md``, written a second time.
"""

from __future__ import annotations

from pathlib import Path

from ecgedge.audit.beats import check_beats
from ecgedge.audit.certificates import check_certificates
from ecgedge.audit.files import check_artifacts, check_kept
from ecgedge.audit.findings import Findings
from ecgedge.audit.portability import check_certificate, is_certificate
from ecgedge.audit.rows import check_rows
from ecgedge.audit.run import about_fault, read_run
from ecgedge.audit.samples import check_samples
from ecgedge.audit.tables import check_tables

__all__ = ["Findings", "check_certificate", "check_run", "is_certificate"]

SCHEMA = 3  # of the folder


def check_run(folder: Path) -> Findings:
    """What holds in a run's folder, and what does not.

    Raises:
        EcgEdgeError: it is no run.
    """
    findings = Findings()
    run = read_run(folder, findings)
    if run.about.get("schema") != SCHEMA:
        findings.wrong("run.json", f"its schema is {run.about.get('schema')!r}, only {SCHEMA} can be checked")
        return findings
    if fault := about_fault(run.about):
        findings.wrong("run.json", fault)
        return findings
    checks = (check_tables, check_beats, check_artifacts, check_kept, check_samples, check_certificates, check_rows)
    for check in checks:
        with findings.reading("run.json", "what was asked"):
            check(run, findings)
    return findings
