"""The pages on the user's own data: their Python runs, and what they show works on such data."""

import re
from pathlib import Path

import pytest
from made_runs import write_run
from trees import write_annotation, write_image

from detector import commands
from detector.config import Config, load_config
from detector.data.exchange.given_proposals import GivenProposals
from detector.data.readers import open_dataset
from detector.jobs.own_data import own_data
from detector.jobs.plan import LEVELS

ROOT = Path(__file__).parents[2]
OWN_DATA, OWN_PROPOSALS = ((ROOT / "docs" / name).read_text() for name in ("own_data.md", "own_proposals.md"))
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = dict(re.findall(r"^    python tools/(\w+)\.py (.*)$", OWN_DATA, re.MULTILINE))
TINY = [
    *("region.crop_size=32", "region.padding=2", "proposals.superpixel_scale=8", "proposals.max_boxes=20"),
    *("network.variant=paper_bn", "network.weights=null", "boxes.enabled=false", "engine.backend=torch"),
    *("finetune.steps=1", "finetune.warmup=0", "finetune.batch_size=8", "finetune.positives=2"),
    *("engine.workers=0", "evaluate.pictures=1"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with ten photographs of cats and dogs, and the page's list and config."""
    path = tmp_path_factory.mktemp("own")
    for number, name in enumerate("abcdefghij"):
        write_image(path / f"datasets/mine/images/{name}.jpg", 60, 80 + number)
        kind = ("cat", "dog")[number % 2]
        write_annotation(
            path / f"datasets/mine/annotations/{name}.xml",
            (kind, (5, 5, 40 + number, 50)),
            height=60,
            width=80 + number,
        )
    (path / "configs").mkdir()
    (path / "configs" / "mine.yaml").write_text(YAML.findall(OWN_DATA)[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        own_data(Path("datasets/mine"), {}, Path("runs/mine/data"), 0)
    return path


def test_the_page_s_lists_share_the_photographs(folder: Path) -> None:
    lists = [(folder / f"runs/mine/data/{name}.txt").read_text().split() for name in ("train", "test")]
    assert [len(names) for names in lists] == [7, 3]
    assert set(lists[0] + lists[1]) == {f"{name}.jpg" for name in "abcdefghij"}


def test_the_page_names_the_levels_of_a_plan() -> None:
    for level in LEVELS:
        for number in re.findall(r"[0-9]+", level.name):
            assert number in OWN_DATA


def test_the_data_are_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert commands.main(["check_data", *COMMANDS["check_data"].split()]) == 0
    assert "7 images" in capsys.readouterr().out


def test_the_config_trains_and_tests(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert commands.main(["train_det", "configs/mine.yaml", *TINY, "--run", "runs/tried"]) == 0
    printed = capsys.readouterr().out
    assert "cat" in printed and "report: runs/tried/report/index.html" in printed


@pytest.mark.parametrize("name", ["detect", "test_det", "export"])
def test_a_trained_run_is_used(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = f"data.root={folder / 'datasets' / 'mine'}"
    lists = [f"data.{name}={folder}/runs/mine/data/{name}.txt" for name in ("train", "test")]
    write_run(tmp_path / "runs" / "mine", data, *lists, "evaluate.pictures=0")
    (tmp_path / "my_photos").symlink_to(folder / "datasets" / "mine" / "images")
    assert commands.main([name, *COMMANDS[name].split()]) == 0
    assert capsys.readouterr().out


def test_the_proposals_of_the_page_are_read(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(PYTHON.findall(OWN_PROPOSALS)[0], {})
    data = [f"data.root={folder / 'datasets' / 'mine'}", f"data.train={folder}/runs/mine/data/train.txt"]
    config = load_config(Config, folder / "configs" / "mine.yaml", data)
    dataset = open_dataset(config.data, ("all",))
    given = GivenProposals.open(tmp_path / "mine.npz", dataset)
    assert [len(given.read(position).boxes) for position in range(3)] == [2, 1, 0]
