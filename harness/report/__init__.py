"""Boards as pages: HTML that stands alone, CSV, Markdown, figures. matplotlib and jinja2 live only here."""

from harness.report.page import build

__all__ = ["build"]
