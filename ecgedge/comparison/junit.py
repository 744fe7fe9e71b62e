"""A comparison as JUnit XML, which CI systems read: a test case for each metric of each cell."""

from __future__ import annotations

import platform
import re
from typing import IO
from xml.etree import ElementTree as ET

from ecgedge.comparison.figures import CANNOT_TELL, Verdict
from ecgedge.comparison.pairs import Comparison

FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0


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
    about = {"name": "ecgedge compare", "package": "ecgedge", "id": "0", "hostname": platform.node() or "localhost"}
    about |= {"timestamp": comparison.b.about["started"][:19], "time": "0"}
    suite = ET.SubElement(root, "testsuite", about | numbers)
    properties = ET.SubElement(suite, "properties")
    for name, run in (("A", comparison.a), ("B", comparison.b)):
        ET.SubElement(properties, "property", name=name, value=str(run.folder))
    for cell, verdict in verdicts:
        case = ET.SubElement(suite, "testcase", classname=clean(cell), name=verdict.metric, time="0")
        text = clean(verdict.text)
        if verdict.regression:
            ET.SubElement(case, "failure", message=text, type="regression").text = text
        elif skipped(verdict):
            ET.SubElement(case, "skipped", message=text)
    ET.SubElement(suite, "system-out").text = clean("\n".join([comparison.beats.why, *comparison.differences]))
    ET.SubElement(suite, "system-err")
    ET.indent(root, " ")
    file.write(ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def skipped(verdict: Verdict) -> bool:
    return verdict.result == CANNOT_TELL and not verdict.regression


def clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return FORBIDDEN.sub("?", text)
