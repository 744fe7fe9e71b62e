"""Rows to what people and programs read."""

from ecgedge.report.files import write_files
from ecgedge.report.table import noise_lines, render

__all__ = ["noise_lines", "render", "write_files"]
