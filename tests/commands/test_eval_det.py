import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.commands.eval_det import main
from detector.errors import DataError

XML = """<annotation><size><width>100</width><height>80</height></size>{}</annotation>"""
OBJECT = """<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><xmax>{}</xmax><ymin>{}</ymin>
<ymax>{}</ymax></bndbox></object>"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three images, the last without an XML; one apple is difficult; class kiwi has no object."""
    folder = tmp_path / "files"
    (folder / "xml").mkdir(parents=True)
    (folder / "classes.csv").write_bytes(b"id,wnid,name\r\n1,n01,apple\r\n2,n02,pear\r\n3,n03,kiwi\r\n")
    (folder / "list.txt").write_text("a 5\nb 9\nc 2\n")
    apple, hard = OBJECT.format("n01", 0, 10, 59, 10, 59), OBJECT.format("apple", 1, 0, 29, 0, 29)
    pear = OBJECT.format("pear", 0, 20.0, 69.0, 20, 69)
    (folder / "xml/a.xml").write_text(XML.format(apple + hard))
    (folder / "xml/b.xml").write_text(XML.format(pear))
    (folder / "found.txt").write_text(
        "5 1 0.9 10 10 59 59\n9 2 0.8 60 60 69 69\n9 2 0.7 20 20 69 69\n2 3 0.1 0 0 9 9\n"
    )
    (folder / "none.txt").write_text("")
    (folder / "blacklist.txt").write_text("9 n02\n777 n01\n")
    (folder / "images").mkdir()
    for name in ("a", "b", "c"):
        cv2.imwrite(str(folder / f"images/{name}.JPEG"), np.full((80, 100, 3), 99, np.uint8))
    return folder


@pytest.fixture
def coco_files(tmp_path: Path) -> Path:
    """Two images and two categories with gaps in their ids."""
    box = {"bbox": [10, 10, 50, 50], "area": 900.5, "iscrowd": 0}
    tree = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 80} for n in (4, 8)],
        "categories": [{"id": 30, "name": "pear"}, {"id": 7, "name": "apple"}],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 30, **box},
            {"id": 2, "image_id": 8, "category_id": 7, **box},
        ],
    }
    (tmp_path / "tree.json").write_text(json.dumps(tree))
    result = {"image_id": 4, "category_id": 30, "bbox": [10, 10, 50, 50], "score": 0.5}
    (tmp_path / "found.json").write_text(json.dumps([result]))
    (tmp_path / "none.json").write_text("[]")
    cv2.imwrite(str(tmp_path / "8.png"), np.full((80, 100, 3), 99, np.uint8))
    return tmp_path


def ilsvrc(
    files: Path, out: Path, *more: str, protocol: str = "ilsvrc", found: str = "found.txt"
) -> dict[str, Any]:
    """The metrics of a run on `files`."""
    words = ["--format", "ilsvrc", "--annotations", f"{files}/xml", "--list", f"{files}/list.txt"]
    words += ["--classes", f"{files}/classes.csv", "--detections", f"{files}/{found}", "--protocol", protocol]
    assert main([*words, "--out", str(out), *more]) == 0
    return json.loads((out / "metrics.json").read_text(), parse_constant=_refuse)


def coco(files: Path, out: Path, *more: str, protocol: str = "coco", found: str = "found.json") -> dict[str, Any]:
    words = ["--format", "coco", "--annotations", f"{files}/tree.json", "--detections", f"{files}/{found}"]
    assert main([*words, "--protocol", protocol, "--out", str(out), *more]) == 0
    return json.loads((out / "metrics.json").read_text(), parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def aps(metrics: dict[str, Any]) -> list[float | None]:
    return [row["ap"] for row in metrics["classes"]]


def test_ilsvrc_files_are_evaluated_and_reported(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = ilsvrc(files, tmp_path / "out")
    assert aps(metrics) == [0.5, 0.5, None]  # two apples count; a false positive stands before the pear
    assert (metrics["mean_ap"], metrics["median_ap"], metrics["mean_ap_with_objects"]) == (0.5, 0.5, 0.5)
    pear = {"id": 2, "wnid": "n02", "name": "pear", "ap": 0.5, "objects": 1, "detections": 2}
    assert metrics["classes"][1].items() >= pear.items()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"metrics.json", "report.md", "report.html"}
    printed = capsys.readouterr().out
    assert "pear" in printed
    assert "mean AP" in printed
    assert printed.endswith(f"report: {tmp_path}/out/report.html\n")


@pytest.mark.parametrize("protocol", ["voc2007", "voc2010"])
def test_voc_leaves_the_difficult_apple_out(files: Path, tmp_path: Path, protocol: str) -> None:
    metrics = ilsvrc(files, tmp_path / "out", protocol=protocol)
    assert aps(metrics)[0] == pytest.approx(1)
    assert aps(metrics)[2] is None
    assert metrics["mean_ap"] == pytest.approx(0.75)
    assert metrics["classes"][0]["objects"] == 1


def test_ilsvrc_files_can_be_evaluated_by_coco(files: Path, tmp_path: Path) -> None:
    metrics = ilsvrc(files, tmp_path / "out", protocol="coco")
    assert metrics["coco"]["AP"] == metrics["mean_ap"] == pytest.approx(0.5, abs=0.01)


def test_blacklist_counts_for_ilsvrc_and_is_noted_for_voc(files: Path, tmp_path: Path) -> None:
    metrics = ilsvrc(files, tmp_path / "a", "--blacklist", f"{files}/blacklist.txt")
    assert aps(metrics)[:2] == [0.5, None]
    assert metrics["mean_ap"] is None
    assert metrics["mean_ap_with_objects"] == 0.5
    same = ilsvrc(files, tmp_path / "b", "--blacklist", f"{files}/blacklist.txt", protocol="voc2010")
    assert same["mean_ap"] == pytest.approx(0.75)
    assert "not used, because voc2010 has none" in (tmp_path / "b/report.md").read_text()


@pytest.mark.parametrize("protocol", ["ilsvrc", "voc2007", "voc2010", "coco"])
def test_empty_submission_gives_zero_and_a_report(files: Path, tmp_path: Path, protocol: str) -> None:
    assert ilsvrc(files, tmp_path / "out", protocol=protocol, found="none.txt")["mean_ap"] == 0
    assert (tmp_path / "out/report.html").is_file()


def test_pictures_are_drawn_from_the_image_folder(files: Path, tmp_path: Path) -> None:
    ilsvrc(files, tmp_path / "out", "--images", f"{files}/images")
    assert (tmp_path / "out/report.html").read_text().count("<figure>") == 2  # c has no object
    with pytest.raises(DataError, match=r"--images must be the folder of the images, got .*/xml without a$"):
        ilsvrc(files, tmp_path / "out", "--images", f"{files}/xml")


def test_unknown_image_index_names_file_and_line(files: Path, tmp_path: Path) -> None:
    (files / "bad.txt").write_text("5 1 0.9 10 10 59 59\n6 1 0.9 10 10 59 59\n")
    with pytest.raises(DataError, match=r"bad\.txt:2 image index must be one of the image list, got '6'$"):
        ilsvrc(files, tmp_path / "out", found="bad.txt")
    assert not (tmp_path / "out").exists()


def test_annotation_folder_that_is_missing_is_an_error(files: Path, tmp_path: Path) -> None:
    for path in (files / "xml").iterdir():
        path.unlink()
    (files / "xml").rmdir()
    with pytest.raises(DataError, match="--annotations must be a folder, got"):
        ilsvrc(files, tmp_path / "out")


def test_no_images_are_nothing_to_evaluate(files: Path, coco_files: Path, tmp_path: Path) -> None:
    (files / "list.txt").write_text("\n")
    with pytest.raises(DataError, match=r"images must be at least one to be evaluated, got none \(.*list\.txt\)"):
        ilsvrc(files, tmp_path / "out")
    tree = json.loads((coco_files / "tree.json").read_text())
    (coco_files / "tree.json").write_text(json.dumps({**tree, "images": [], "annotations": []}))
    with pytest.raises(DataError, match=r"images must be at least one to be evaluated, got none \(.*tree\.json\)"):
        coco(coco_files, tmp_path / "out", found="none.json")


def test_a_folder_without_any_annotation_of_the_list_is_an_error(files: Path, tmp_path: Path) -> None:
    (files / "list.txt").write_text("x 5\ny 9\n")
    with pytest.raises(
        DataError, match=r"^annotations must be XML files of the listed images, got no x\.xml in .*/xml$"
    ):
        ilsvrc(files, tmp_path / "out")


@pytest.mark.parametrize("names", [("a b", "c.v2"), ("a b.JPEG", "c.v2.JPEG"), ("a b.xml", "c.v2.xml")])
def test_names_in_the_list_may_hold_blanks_dots_and_suffixes(
    files: Path, tmp_path: Path, names: tuple[str, str]
) -> None:
    (files / "xml/a.xml").rename(files / "xml/a b.xml")
    (files / "xml/b.xml").rename(files / "xml/c.v2.xml")
    (files / "list.txt").write_text(f"{names[0]} 5\n{names[1]} 9\nc 2\n")
    assert aps(ilsvrc(files, tmp_path / "out")) == [0.5, 0.5, None]


def test_images_outside_the_folder_are_not_looked_at(coco_files: Path, tmp_path: Path) -> None:
    tree = json.loads((coco_files / "tree.json").read_text())
    tree["images"][0]["file_name"] = str(coco_files / "8.png")
    tree["images"][1]["file_name"] = "../8.png"
    (coco_files / "tree.json").write_text(json.dumps(tree))
    (coco_files / "images").mkdir()
    with pytest.raises(DataError, match=r"--images must be the folder of the images, got .* without "):
        coco(coco_files, tmp_path / "out", "--images", str(coco_files / "images"))
    assert coco(coco_files, tmp_path / "out")["mean_ap"] == pytest.approx(0.5)


def test_coco_files_are_evaluated_with_their_own_ids_and_areas(coco_files: Path, tmp_path: Path) -> None:
    metrics = coco(coco_files, tmp_path / "out", "--images", str(coco_files))
    assert [(row["id"], row["name"], row["ap"]) for row in metrics["classes"]] == [
        (7, "apple", 0.0),
        (30, "pear", pytest.approx(1)),
    ]
    assert metrics["coco"]["APs"] == pytest.approx(0.5)  # 900.5 is small, 50 x 50 would be medium
    assert metrics["coco"]["APl"] == -1
    assert (tmp_path / "out/report.html").read_text().count("<figure>") == 1


PROTOCOLS = ["ilsvrc", "voc2007", "voc2010", "coco"]


def check_agreement(files: Path, out: Path) -> dict[str, float]:
    """The mean AP by each protocol, which every report states alike, inside its interval."""
    reports = {protocol: coco(files, out / protocol, protocol=protocol) for protocol in PROTOCOLS}
    means = {protocol: report["mean_ap_with_objects"] for protocol, report in reports.items()}
    for report in reports.values():
        for other, row in report["protocols"].items():
            assert row["mean_ap_with_objects"] == pytest.approx(means[other])
        lowest, highest = report["mean_ap_with_objects_interval"]
        assert lowest - 1e-9 <= report["mean_ap_with_objects"] <= highest + 1e-9
    assert reports["coco"]["coco"]["AP"] == pytest.approx(means["coco"])
    return means


def test_objects_found_exactly_have_the_mean_one_though_their_ids_begin_at_zero(
    coco_files: Path, tmp_path: Path
) -> None:
    tree = json.loads((coco_files / "tree.json").read_text())
    for number, entry in enumerate(tree["annotations"]):
        entry["id"] = number
    (coco_files / "tree.json").write_text(json.dumps(tree))
    found = [
        {name: entry[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.5}
        for entry in tree["annotations"]
    ]
    (coco_files / "found.json").write_text(json.dumps(found))
    assert check_agreement(coco_files, tmp_path / "out") == pytest.approx(dict.fromkeys(PROTOCOLS, 1.0))


def test_equal_scores_rank_by_image_id_wherever_the_json_has_the_image(coco_files: Path, tmp_path: Path) -> None:
    tree = json.loads((coco_files / "tree.json").read_text())
    tree["images"].reverse()
    (coco_files / "tree.json").write_text(json.dumps(tree))
    right = {"image_id": 4, "category_id": 30, "bbox": [10, 10, 50, 50], "score": 0.5}
    (coco_files / "found.json").write_text(json.dumps([{**right, "image_id": 8}, right]))
    assert check_agreement(coco_files, tmp_path / "out")["coco"] == pytest.approx(0.5)


@pytest.mark.parametrize("protocol", ["ilsvrc", "voc2007", "voc2010"])
def test_coco_files_can_be_evaluated_by_the_other_protocols(
    coco_files: Path, tmp_path: Path, protocol: str
) -> None:
    metrics = coco(coco_files, tmp_path / "out", protocol=protocol)
    assert metrics["mean_ap"] == pytest.approx(0.5)
    assert "coco" not in metrics


@pytest.mark.parametrize("protocol", ["ilsvrc", "voc2007", "voc2010", "coco"])
def test_empty_coco_results_give_zero(coco_files: Path, tmp_path: Path, protocol: str) -> None:
    assert coco(coco_files, tmp_path / "out", protocol=protocol, found="none.json")["mean_ap"] == 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--format", "yolo"],
        ["--format", "ilsvrc", "--annotations", "x", "--detections", "x", "--protocol", "coco", "--out", "x"],
        [
            *("--format", "coco", "--annotations", "x", "--detections", "x", "--protocol", "coco", "--out", "x"),
            *("--blacklist", "x"),
        ],
    ],
)
def test_wrong_usage_exits_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("eval_det: ")
    assert line.count("\n") == 1


@pytest.mark.parametrize("case", ["t01_basic", "t02_duplicates"])
def test_official_numbers_through_the_files(shared: Path, tmp_path: Path, case: str) -> None:
    folder = shared / "data/eval_examples" / case
    expected = json.loads((folder / "expected.json").read_text())
    base = ["--format", "ilsvrc", "--annotations", f"{folder}/Annotations", "--list", f"{folder}/val.txt"]
    base += ["--classes", f"{folder}/synsets.csv", "--detections", f"{folder}/dets.txt", "--out", str(tmp_path)]
    wanted = {
        "ilsvrc": expected["ilsvrc"]["mean_ap"],
        "voc2007": expected["voc"]["map_11pt"],
        "voc2010": expected["voc"]["map_all_points"],
        "coco": expected["coco"]["stats"]["AP"],
    }
    for protocol, mean in wanted.items():
        main([*base, "--protocol", protocol])
        metrics = json.loads((tmp_path / "metrics.json").read_text())
        assert math.isclose(metrics["mean_ap"], mean, abs_tol=1e-9)
