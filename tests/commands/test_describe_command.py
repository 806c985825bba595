import json
from pathlib import Path

import pytest

from detector import commands
from detector.choices import BACKBONES


def test_the_table_is_printed_and_its_rows_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.json"
    words = ["describe", "paper_bn", "--size", "64", "--classes", "5", "--json", str(path)]
    assert commands.main(words) == 0
    assert "paper_bn: input 64x64x3, 5 classes" in capsys.readouterr().out
    content = json.loads(path.read_text())
    assert (content["variant"], content["size"], content["classes"]) == ("paper_bn", 64, 5)
    assert content["layers"][0]["output"] == [64, 32, 32]
    counted = [row for row in content["layers"] if not row["auxiliary"]]
    assert content["total"]["parameters"] == sum(row["parameters"] for row in counted)


def test_an_unknown_variant_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["describe", "papr"]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"describe: variant must be one of {', '.join(BACKBONES)}, got 'papr'\n"
    assert captured.out == ""
