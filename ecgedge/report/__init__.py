"""Rows to what people and programs read."""

from ecgedge.report.files import write_files
from ecgedge.report.table import render

__all__ = ["render", "write_files"]
