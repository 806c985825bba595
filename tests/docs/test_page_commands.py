"""Every command that a page or a config shows is one that its tool takes, with settings that there are."""

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from detector.commands import COMMANDS
from detector.config import ClassificationConfig, Config, MultiBoxConfig, Section, load_config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "datasets" / "README.md"]
PAGES += [*sorted((ROOT / "docs").glob("*.md"))]
PAGES += [*sorted((ROOT / "benchmarks").glob("*.md")), *sorted((ROOT / "configs").glob("*.yaml"))]
COMMAND = re.compile(
    r"(?:(?:python|torchrun[^\n`]* --) tools/(?=\w+\.py)|^ {4}detector )(\w+)(?:\.py)?([^\n`]*)", re.MULTILINE
)
YAML_FILE = re.compile(r"^```yaml\n# (configs/\w+\.yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
KINDS: dict[str, type[Section]] = {"train_cls": ClassificationConfig, "train_multibox": MultiBoxConfig}
STAND_INS: dict[type[Section], str] = {
    Config: "configs/ilsvrc_det.yaml",
    ClassificationConfig: "configs/synthetic_cls.yaml",
    MultiBoxConfig: "configs/multibox_synthetic.yaml",
}


@dataclass(frozen=True)
class Shown:
    """A command of a page: the tool and the words after it."""

    page: Path
    tool: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.name}: {self.tool} {' '.join(self.words)}"


def shown_on(page: Path) -> Iterator[Shown]:
    text = re.sub(r"\\\n[# ]*", " ", page.read_text(encoding="utf-8"))
    for tool, rest in COMMAND.findall(text):
        rest = re.sub(r"\[(-[^\]]*)\]", r"\1", rest)  # an option that may be left out
        rest = re.sub(r"\[section[^\]]*\]|\.\.\.", "", rest)
        if words := tuple(shlex.split(rest, comments=True)):  # else a mention of the tool
            yield Shown(page, tool, words)


SHOWN = [shown for page in PAGES for shown in shown_on(page)]


def parsed(tool: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """What the tool makes of the words, before it does anything."""
    module = importlib.import_module(f"detector.commands.{tool}")
    if parse := getattr(module, "_parse", None):
        return parse(words)
    found: list[argparse.Namespace] = []

    class Stop(Exception):
        """Raised once the words are parsed."""

    def stop_after(parse: object) -> object:
        def wrapper(*arguments: object) -> None:
            found.append(parse(*arguments))  # type: ignore[operator]
            raise Stop

        return wrapper

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, stop_after(getattr(argparse.ArgumentParser, name)))
    with pytest.raises(Stop):
        module.main(words)
    return found[0]


def config_files(folder: Path) -> None:
    """The project's configs in `folder`, and those that the pages tell the reader to write."""
    (folder / "configs").mkdir()
    for path in (ROOT / "configs").iterdir():
        (folder / "configs" / path.name).write_bytes(path.read_bytes())
    for page in PAGES:
        for name, text in YAML_FILE.findall(page.read_text(encoding="utf-8")):
            (folder / name).write_text(text)


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_command_is_taken_by_its_tool_and_its_settings_resolve(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (ROOT / "tools" / f"{shown.tool}.py").is_file()
    config_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    kind = KINDS.get(shown.tool, Config)
    words = [STAND_INS[kind] if word == "CONFIG" else word for word in shown.words]
    options = parsed(shown.tool, words, monkeypatch)
    overrides = [*getattr(options, "overrides", []), *getattr(options, "set", [])]
    path: Path | None = getattr(options, "config", None)
    if getattr(options, "data", None) and path:  # then the first word is a setting, too
        overrides, path = [str(path), *overrides], None
    assert all("=" in word for word in overrides)
    if path is None or not path.suffix:  # a folder of images or `--data`, whose settings are the defaults
        path = Path(STAND_INS[kind])
    load_config(kind, path, overrides)


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_commands_are_found_on_the_pages() -> None:
    assert {shown.tool for shown in SHOWN} <= set(COMMANDS)
    assert {"README.md", "own_data.md", "own_proposals.md", "many_gpus.md", "ilsvrc.md", "report.md"} <= {
        shown.page.name for shown in SHOWN
    }
    assert len(SHOWN) > 60


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index
