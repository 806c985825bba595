"""A report that links its worst images to pages that explain them."""

import json
from pathlib import Path

import pytest
from html_pages import Page

from detector.config import Config, parse_config
from detector.errors import ConfigError
from detector.jobs.known_objects import objects_at, objects_of_dataset, objects_of_test
from detector.jobs.outcome import Outcome
from detector.jobs.test_detector import run_testing
from detector.reports.explain import explanation_pages
from detector.runs.folder import RunFolder

Finished = tuple[RunFolder, Outcome]


def test_the_worst_images_have_pages_as_long_as_they_are_asked_for(
    finished_run: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = finished_run
    words = ["evaluate.pictures=4", "evaluate.resamples=10"]
    folder = run.path / "report_val"
    run_testing(run, run.read_config(Config, [*words, "evaluate.explain=2"]), ("val",))
    pages = sorted(path.name for path in (folder / "explain").iterdir())
    assert len(pages) == 3
    assert pages[2] == "index.html"
    linked = set(Page((folder / "index.html").read_text()).addresses)
    assert {f"explain/{name}" for name in pages} <= linked
    assert "../index.html" in Page((folder / "explain" / "index.html").read_text()).addresses

    def again(*_: object) -> None:
        pytest.fail("the pages are there")

    with monkeypatch.context() as patch:
        patch.setattr(explanation_pages, "write_text", again)
        run_testing(run, run.read_config(Config, [*words, "evaluate.explain=2"]), ("val",))
    (folder / "explain" / pages[0]).unlink()
    run_testing(run, run.read_config(Config, [*words, "evaluate.explain=2"]), ("val",))
    assert (folder / "explain" / pages[0]).is_file()
    run_testing(run, run.read_config(Config, words), ("val",))
    assert not (folder / "explain").exists()
    assert "explain/" not in (folder / "index.html").read_text()


def test_the_objects_of_a_page_are_those_of_the_data(finished_run: Finished) -> None:
    run, outcome = finished_run
    dataset = outcome.dataset
    objects_of = objects_of_dataset(dataset)
    for position in range(len(dataset)):
        found = objects_of(dataset.record(position).path)
        assert found == objects_at(dataset, position)
        assert len(found) == len(dataset.truth(position).labels) > 0
        assert {each.name for each in found} <= set(dataset.classes.names)
    assert objects_of(Path("elsewhere") / dataset.record(0).path.name) == []
    assert objects_of_test(run.read_config(Config, []))(dataset.record(0).path)
    assert objects_of_test(run.read_config(Config, ["data.root=nowhere"]))(dataset.record(0).path) == []


def test_images_cannot_be_explained_whose_regions_a_file_gives() -> None:
    settings = {"proposals": {"source": "given", "given": "a.npz"}, "evaluate": {"explain": 2}}
    with pytest.raises(ConfigError, match=r"evaluate\.explain must be 0 for proposals\.source given, got 2"):
        parse_config(Config, settings, "x.yaml")


def test_the_pages_of_a_report_show_the_worst_first(finished_run: Finished) -> None:
    run, _ = finished_run
    config = run.read_config(Config, ["evaluate.explain=4", "evaluate.pictures=0", "evaluate.resamples=10"])
    run_testing(run, config, ("val",))
    found = []
    for path in sorted((run.path / "report_val" / "explain").glob("0*.html")):
        data = json.loads(path.read_text().split('id="explain-data">')[1].split("</script>")[0])
        found.append(len(data["objects"]))
        assert 0 <= data["limits"]["minScore"] < 1
    assert len(found) <= 4
    assert all(found)
