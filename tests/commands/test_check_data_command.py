import os
from pathlib import Path

import pytest
from trees import write_annotation, write_image

from detector import commands


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for number, split in enumerate(("train", "test")):
        write_image(tmp_path / "data" / split / f"{split}.jpg", 40 + number, 60)
        write_annotation(tmp_path / "data" / split / f"{split}.xml", ("cat", (2, 2, 20, 30)), height=40 + number)
    path = tmp_path / "pets.yaml"
    path.write_text(f"data: {{format: voc, root: {tmp_path / 'data'}, test: test}}\n")
    return path


def test_data_without_errors_give_numbers_and_a_page(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = config.parent / "page.html"
    assert commands.main(["check_data", str(config), "--html", str(page), "data.classes=[cat, dog]"]) == 0
    shown = capsys.readouterr().out
    assert "train: 1 images, 1 objects, 1 of them usable, in 1 of 2 classes" in shown
    assert "warning: test: 1 classes have no usable object" in shown
    assert f"page: {page}" in shown
    html = page.read_text()
    assert html.count('src="data:image/jpeg;base64,') == 2
    assert 'data-value="dog"' in html
    assert "http" not in html.replace("http-equiv", "")


def test_errors_make_the_status_1(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "data" / "test" / "test.jpg").write_bytes(b"no image")
    page = config.parent / "page.html"
    assert commands.main(["check_data", str(config), "--html", str(page), "--samples", "0"]) == 1
    assert "error: test: 1 images cannot be read" in capsys.readouterr().out
    assert "<img" not in page.read_text()


def test_names_that_are_not_utf_8_are_shown_as_escapes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config.parent / "data" / "train"
    name = os.fsdecode(b"caf\xe9")
    for path in sorted(folder.iterdir()):
        path.rename(folder / f"{name}{path.suffix}")
    write_annotation(folder / f"{name}.xml", ("cat", (2, 2, 20, 30)), ("cat", (2, 2, 20, 2)), height=40)
    page = config.parent / "page.html"
    assert commands.main(["check_data", str(config), "--html", str(page)]) == 0
    assert r"caf\udce9.xml: cat at " in capsys.readouterr().out
    html = page.read_text()
    assert r"caf\udce9.xml: cat at " in html
    assert html.count('src="data:image/jpeg;base64,') == 2


def test_a_name_of_a_class_in_two_lines_is_a_finding(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config.parent / "data" / "test" / "test.xml"
    path.write_text(path.read_text().replace("cat", "ca\nt"))
    page = config.parent / "page.html"
    assert commands.main(["check_data", str(config), "--html", str(page)]) == 1
    printed = capsys.readouterr().out
    assert rf"name of object 1 must be 1 to 200 printable characters in one line, got 'ca\nt' ({path})" in printed
    assert page.is_file()


def test_a_wrong_config_is_status_2(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["check_data", str(config), "data.root=/nowhere"]) == 2
    assert capsys.readouterr().err == "check_data: data.root must be a folder, got /nowhere\n"


def test_the_command_needs_no_torch(config: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from detector.commands import main; "
        f"main(['check_data', {str(config)!r}, '--html', {str(config.parent / 'page.html')!r}]); "
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
