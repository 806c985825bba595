"""The page on using a detector: every block of Python and every command of it runs."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_runs import write_run

from detector import commands
from detector.synthetic.detection_set import make_dataset

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^python tools/(\w+)\.py (.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the data, the config and a run that the page speaks of."""
    path = tmp_path_factory.mktemp("page")
    make_dataset(path / "datasets" / "demo", images=4, classes=5, seed=0, val=5, mean_width=100)
    write_run(path / "runs" / "demo")
    (path / "configs").mkdir()
    shutil.copyfile(ROOT / "configs" / "demo.yaml", path / "configs" / "demo.yaml")
    return path


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_of_the_page_runs(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(block, names)
    if "picture" in names:
        assert names["picture"].ndim == 3
        assert len(names["rows"]) == len(names["found"].scores) > 0


@pytest.mark.parametrize(("name", "words"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_a_command_of_the_page_runs(
    name: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert commands.main([name, *words.replace("--onnx", "").split()]) == 0  # ONNX has tests of its own
    assert capsys.readouterr().out


def test_the_page_shows_the_commands_and_a_picture() -> None:
    assert {name for name, _ in COMMANDS} == {"detect", "check_data", "export"}
    assert len(BLOCKS) == 2
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", PAGE):
        assert (ROOT / "docs" / picture).is_file()


def test_the_files_that_the_page_names_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    words = next(words for name, words in COMMANDS if name == "detect")
    assert commands.main(["detect", *words.split(), "--out", "again"]) == 0
    written = {path.name for path in Path("again").iterdir()}
    assert written == {"pictures", "results.json", "detections.csv"}
    header = (folder / "again" / "detections.csv").read_text().splitlines()[0]
    assert header.replace(",", ", ") in PAGE
