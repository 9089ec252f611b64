"""Boards as pages: HTML that stands alone, CSV, Markdown, figures. matplotlib and jinja2 live only here."""
