import html
import re
from html.parser import HTMLParser

import jinja2
import pytest

from detector.reports.curves import small_plot
from detector.reports.pages import markdown_block, markdown_code, markdown_text, page_environment

NASTY = [
    "<script>alert(1)</script>",
    "a|b",
    "[x](javascript:alert(1))",
    "![x](y)",
    "`a` ``b",
    "*bold* **x**",
    "_em_ and traffic_light",
    "~~gone~~",
    "$\\frac{1}{2}$",
    "a\\",
    "&lt;b&gt; & c",
    "# head",
    "- item",
    "1. item",
    "> quote",
    "===",
    "two\nlines\r\n\tand a tab",
    "\x1b[31mred\udce9\u202e",
    "<!-- x",
    "http://a.b/?c&d=e",
]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("traffic_light", "traffic_light"),
        ("runs/a-b.txt", "runs/a-b.txt"),
        ("+0.012", "+0.012"),
        ("-1", "-1"),
        ("black & white", "black & white"),
        ("_em_", r"\_em\_"),
        ("<b>", "&lt;b>"),
        ("a|b", r"a\|b"),
        ("[x](y)", r"\[x\](y)"),
        ("a\\|b", r"a\\\|b"),
        ("&lt;", r"\&lt;"),
        ("# x", r"\# x"),
        ("1. x", r"1\. x"),
        ("1.5", "1.5"),
        ("> x", r"\> x"),
        ("two\nlines", "two lines"),
        ("bell\a", r"bell\\x07"),
    ],
)
def test_markdown_shows_the_text_as_it_is(text: str, escaped: str) -> None:
    assert markdown_text(text) == escaped


@pytest.mark.parametrize("text", NASTY)
def test_no_text_is_markup_in_markdown(text: str) -> None:
    shown = markdown_text(text)
    assert "\n" not in shown
    assert "<" not in shown
    for special in "`*[]|~$":
        assert not re.search(rf"(?<!\\)(\\\\)*{re.escape(special)}", shown), special
    back = re.sub(r"\\(.)", lambda found: f"&#{ord(found[1])};", shown)  # as a reader of Markdown undoes escapes
    assert html.unescape(back) == html.unescape(markdown_text_undone(text))


def markdown_text_undone(text: str) -> str:
    """What a reader of the page should see, as HTML."""
    line = " ".join(text.split())
    for character in "\x1b\udce9\u202e":
        line = line.replace(character, repr(character)[1:-1])
    return html.escape(line)


def test_a_template_of_markdown_escapes_what_is_filled_in_unless_it_is_markup() -> None:
    loader = jinja2.DictLoader({"x.md.j2": "| {{ name }} | {{ number }} | {{ table | safe }} |"})
    template = page_environment().overlay(loader=loader).get_template("x.md.j2")
    assert template.render(name="a|<b>", number=3, table="x|y") == r"| a\|&lt;b> | 3 | x|y |"


def test_a_page_shows_what_cannot_be_seen_and_keeps_lines() -> None:
    loader = jinja2.DictLoader({"x.html.j2": "<pre>{{ name }}</pre>{{ mark | safe }}"})
    template = page_environment().overlay(loader=loader).get_template("x.html.j2")
    shown = template.render(name="a\n\t<\x1b\u202e\udce9", mark="<b>")
    assert shown == r"<pre>a" + "\n\t" + r"&lt;\x1b\u202e\udce9</pre><b>"


@pytest.mark.parametrize("name", [name for name in page_environment().list_templates() if name.endswith(".j2")])
def test_every_template_is_escaped_as_what_it_is(name: str) -> None:
    environment = page_environment()
    evaluated = environment.autoescape(name) if callable(environment.autoescape) else environment.autoescape
    assert evaluated == name.endswith(".html.j2")
    assert name.endswith((".html.j2", ".md.j2"))


def test_code_and_blocks_cannot_be_ended_from_within() -> None:
    assert markdown_code("a`b``c") == "```a`b``c```"
    assert markdown_code("`x`") == "`` `x` ``"
    assert markdown_block("name: |\n  ```\n  x", "yaml") == "````yaml\nname: |\n  ```\n  x\n````"


@pytest.mark.parametrize("name", ["$x", "$\\frac", "$a_b$", "<script>alert(1)</script>", "\"quoted\" & 'x'"])
def test_a_plot_shows_any_name(name: str) -> None:
    def draw(axes) -> None:  # type: ignore[no-untyped-def]
        axes.plot([0, 1], [0, 1], label=name)
        axes.set(xlabel=name)
        axes.legend()

    svg = small_plot(name, draw)
    texts: list[str] = []
    labels: list[str | None] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag != "script"
            labels.extend(value for key, value in attributes if key == "aria-label")

        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(svg)
    assert labels == [name]
    assert texts.count(name) >= 2
