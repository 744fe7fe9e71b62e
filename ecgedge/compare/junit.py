"""A comparison as JUnit XML, which CI systems read: a test case for each metric of each cell."""

from __future__ import annotations

import platform
from typing import IO
from xml.etree import ElementTree as ET  # nosec B405  # it writes, and parses nothing

from ecgedge.compare.figures import CANNOT_TELL, Verdict
from ecgedge.compare.pairs import Comparison
from ecgedge.files.escape import xml


def write_junit(comparison: Comparison, file: IO[bytes]) -> None:
    """Write it. Raises OSError."""
    verdicts = [(pair.id, verdict) for pair in comparison.pairs for verdict in pair.verdicts]
    counts = {
        "tests": len(verdicts),
        "failures": sum(verdict.regression for _, verdict in verdicts),
        "errors": 0,
        "skipped": sum(skipped(verdict) for _, verdict in verdicts),
    }
    numbers = {key: str(count) for key, count in counts.items()}
    root = ET.Element("testsuites")
    host, started = xml(platform.node() or "localhost"), xml(comparison.b.about["started"][:19])
    about = {"name": "ecgedge compare", "package": "ecgedge", "id": "0", "hostname": host}
    about |= {"timestamp": started, "time": "0"}
    suite = ET.SubElement(root, "testsuite", about | numbers)
    properties = ET.SubElement(suite, "properties")
    for name, run in (("A", comparison.a), ("B", comparison.b)):
        ET.SubElement(properties, "property", name=name, value=xml(run.folder))
    for cell, verdict in verdicts:
        case = ET.SubElement(suite, "testcase", classname=xml(cell), name=xml(verdict.metric), time="0")
        text = xml(verdict.text)
        if verdict.regression:
            ET.SubElement(case, "failure", message=text, type="regression").text = text
        elif skipped(verdict):
            ET.SubElement(case, "skipped", message=text)
    ET.SubElement(suite, "system-out").text = xml("\n".join([comparison.beats.why, *comparison.differences]))
    ET.SubElement(suite, "system-err")
    ET.indent(root, " ")
    file.write(ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def skipped(verdict: Verdict) -> bool:
    return verdict.result == CANNOT_TELL and not verdict.regression
