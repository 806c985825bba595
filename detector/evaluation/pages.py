"""The templates of the reports."""

import jinja2

from detector.evaluation.metrics import decimal, short, signed


def page_environment() -> jinja2.Environment:
    """The templates, with filters for numbers, and `cell`: text that fits a cell of a Markdown table."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("detector.evaluation"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(decimal=decimal, short=short, signed=signed, cell=_markdown_cell)
    return environment


def _markdown_cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
