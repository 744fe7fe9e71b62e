"""A run as one HTML page: self-contained, for screen, phone and paper."""

from ecgedge.report.html.page import render

__all__ = ["render"]
