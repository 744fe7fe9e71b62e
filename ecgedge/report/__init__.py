"""Rows to what people and programs read.

Formats are named here, by the function that makes them, and imported when they are wanted.
"""

from __future__ import annotations

from importlib import import_module

from ecgedge.report.document import Report

FORMATS = {  # of a whole report
    "table": "table:terminal",
    "md": "files:markdown",
    "csv": "files:flat",
    "json": "files:whole",
    "html": "html:render",
}
CHOICES = {  # of the choice alone; a format that is not here is that of the whole report, which holds the choice too
    "table": "decision:terminal",
    "md": "decision:markdown",
    "csv": "decision:flat",
    "json": "decision:data",
}


def render(report: Report, format: str, only_choice: bool = False) -> str:
    """The text of a report in one of ``FORMATS``, with the colours of a terminal in ``table``."""
    named = (only_choice and CHOICES.get(format)) or FORMATS[format]
    module, _, function = named.partition(":")
    text: str = getattr(import_module(f"ecgedge.report.{module}"), function)(report)
    return text


__all__ = ["CHOICES", "FORMATS", "Report", "render"]
