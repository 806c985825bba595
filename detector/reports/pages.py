"""The templates of the reports.

What is filled into a template is text: names of classes, files and runs may look like markup and must not be it.
HTML is escaped by jinja2, Markdown here; a template marks with `safe` what is markup itself.
"""

import re

import jinja2
from markupsafe import Markup

from detector.evaluation.metrics import decimal, short, signed
from detector.text import UNPRINTABLE, one_line

LONGEST_TEXT = 10_000  # letters filled in at one place of a Markdown text
UNSEEN = re.compile(rf"(?![\n\t]){UNPRINTABLE.pattern}")
# What Markdown takes for more than itself; an underscore inside a word is none, nor is & alone.
SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
LEADING = re.compile(r"^(?:(\d+)(?=[.)](?: |$))|(?=[#+-]+(?: |$)|>|=+$))")  # of a line: a heading, a list, a quote


def page_environment() -> jinja2.Environment:
    """The templates, with filters for numbers, and for Markdown `plain`, `code` and `fenced`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("detector.reports"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        finalize=_as_text,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(decimal=decimal, short=short, signed=signed)
    environment.filters.update(plain=markdown_text, code=markdown_code, fenced=markdown_block)
    return environment


def markdown_text(text: object) -> Markup:
    """Markdown of one line that shows `text` as it is, also in a cell of a table."""
    line = one_line(" ".join(str(text).split()), LONGEST_TEXT)
    escaped = SPECIAL.sub(lambda found: f"\\{found[0]}", line).replace("<", "&lt;")
    return Markup(LEADING.sub(r"\1\\", escaped))


def markdown_code(text: object) -> Markup:
    """Markdown of a code span with `text` in one line; not for a cell of a table, which a bar would end."""
    line = one_line(" ".join(str(text).split()), LONGEST_TEXT)
    ticks = "`" * (_longest_run(line) + 1)
    blank = " " if line.startswith("`") or line.endswith("`") else ""
    return Markup(f"{ticks}{blank}{line}{blank}{ticks}")


def markdown_block(text: str, language: str) -> Markup:
    """A block of code that `text` cannot end."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return Markup("{}{}\n{}\n{}".format(ticks, language, text.rstrip("\n"), ticks))


@jinja2.pass_eval_context
def _as_text(context: jinja2.nodes.EvalContext, value: object) -> object:
    """What a template outputs: text is escaped for Markdown; for HTML jinja2 does it, but for what is not seen."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return UNSEEN.sub(lambda found: repr(found[0])[1:-1], value) if context.autoescape else markdown_text(value)


def _longest_run(text: str) -> int:
    """The most backticks in a row."""
    return max(map(len, re.findall("`+", text)), default=0)
