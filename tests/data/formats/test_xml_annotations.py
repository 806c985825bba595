import os
from pathlib import Path

import numpy as np
import pytest
from trees import annotation_text, write_annotation

from detector.data import many_files
from detector.data.formats.xml_annotations import read_annotation, read_annotations
from detector.errors import DataError


def error_of(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_annotation(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_corners_are_read_by_name_as_stated(tmp_path: Path) -> None:
    path = write_annotation(tmp_path / "a.xml", ("cat", (1, 2, 30, 40)), ("dog", ("4.5", 5, "6e1", 7)))
    annotation = read_annotation(path)
    assert (annotation.width, annotation.height) == (60, 40)
    assert annotation.names == ("cat", "dog")
    np.testing.assert_array_equal(annotation.corners, [[1, 2, 30, 40], [4.5, 5, 60, 7]])
    assert annotation.corners.dtype == np.float64
    np.testing.assert_array_equal(annotation.difficult, [False, False])


def test_annotation_without_objects_or_size_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<annotation><filename>x</filename></annotation>")
    annotation = read_annotation(path)
    assert (annotation.width, annotation.height, annotation.names) == (0, 0, ())
    assert annotation.corners.shape == (0, 4)
    assert annotation.difficult.shape == (0,)


def test_difficult_objects_are_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        annotation_text([("cat", (1, 2, 3, 4))]).replace("<difficult>0", "<difficult> 1 ").replace("cat", " cat ")
    )
    annotation = read_annotation(path)
    assert annotation.difficult.tolist() == [True]
    assert annotation.names == ("cat",)


@pytest.mark.parametrize(
    ("tag", "holder"), [("Object", "Object"), ("item", "item"), ("boxes", "boxes"), ("", "annotation")]
)
def test_a_box_that_no_object_holds_is_refused(tmp_path: Path, tag: str, holder: str) -> None:
    text = annotation_text([("cat", (1, 2, 3, 4))])
    stray = "<BndBox><xmin>1</xmin></BndBox>" if tag == "boxes" else "<bndbox><xmin>1</xmin></bndbox>"
    inner = f"<{tag}><name>dog</name>{stray}</{tag}>" if tag else stray
    message = error_of(tmp_path / "a.xml", text.replace("</annotation>", f"{inner}</annotation>"))
    assert message.startswith(f"<bndbox> must stand in an <object>, got one in <{holder}> (")


def test_parts_of_an_object_are_no_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>0</xmin></bndbox></part></object>"
    path = tmp_path / "a.xml"
    path.write_text(annotation_text([("person", (1, 2, 3, 4))]).replace("</object>", part))
    annotation = read_annotation(path)
    assert annotation.names == ("person",)
    np.testing.assert_array_equal(annotation.corners, [[1, 2, 3, 4]])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"annotation must be a readable file, got .*gone.xml \(No such file"):
        read_annotation(tmp_path / "gone.xml")


@pytest.mark.parametrize("length", [0, 1, 40, 120, 200])
def test_cut_off_file_is_refused(tmp_path: Path, length: int) -> None:
    text = annotation_text([("cat", (1, 2, 30, 40))])
    assert "well-formed XML" in error_of(tmp_path / "a.xml", text[:length])


def test_entity_bomb_is_refused(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "boom"}">' for i in range(20))
    bomb = f"<!DOCTYPE annotation [{entities}]><annotation>&e19;</annotation>"
    assert "document type" in error_of(tmp_path / "a.xml", bomb)
    assert "document type" in error_of(tmp_path / "a.xml", bomb.encode("utf-16"))


def test_external_document_type_is_refused(tmp_path: Path) -> None:
    text = '<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>'
    assert "document type" in error_of(tmp_path / "a.xml", text)


def test_unknown_encoding_and_wrong_root_are_refused(tmp_path: Path) -> None:
    assert "encoding" in error_of(tmp_path / "a.xml", '<?xml version="1.0" encoding="nope"?><annotation/>')
    assert "got <html>" in error_of(tmp_path / "a.xml", "<html><body/></html>")
    assert "well-formed" in error_of(tmp_path / "a.xml", b"\xff\xd8\xff\xe0 this is a picture")


@pytest.mark.parametrize("corner", ["nan", "inf", "-Infinity", "1e999", "ten", "", "1,5"])
def test_corner_that_is_no_finite_number_is_refused(tmp_path: Path, corner: str) -> None:
    text = annotation_text([("cat", (1, 2, 3, 4)), ("cat", (1, 2, corner, 4))])
    message = error_of(tmp_path / "a.xml", text)
    assert f"xmax of object 2 must be a finite number of at most 1e9, got {corner!r}" in message.replace(
        "nothing", "''"
    )


def test_missing_corner_box_or_name_is_refused(tmp_path: Path) -> None:
    text = annotation_text([("cat", (1, 2, 3, 4))])
    path = tmp_path / "a.xml"
    assert "ymin of object 1 must be a finite number of at most 1e9, got nothing" in error_of(
        path, text.replace("ymin", "top")
    )
    assert "object 1 must have one <bndbox>, got none" in error_of(path, text.replace("bndbox", "box"))
    assert "name of object 1 must be 1 to 200 printable characters in one line, got ''" in error_of(
        path, text.replace("<name>cat</name>", "")
    )


@pytest.mark.parametrize("corner", ["1_0", "1e300", "-2e9", "\u0661\u0662", "0x10", "1 2", "1" * 5000, "True"])
def test_corner_in_a_notation_of_python_s_own_or_too_large_is_refused(tmp_path: Path, corner: str) -> None:
    text = annotation_text([("cat", (corner, 2, 3, 4))])
    assert "xmin of object 1 must be a finite number of at most 1e9, got '" in error_of(tmp_path / "a.xml", text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "</bndbox>",
            "</bndbox><bndbox><xmin>9</xmin><xmax>9</xmax><ymin>9</ymin><ymax>9</ymax></bndbox>",
            "<bndbox>",
        ),
        ("<name>cat</name>", "<name>cat</name><name>dog</name>", "<name>"),
        ("<xmin>1</xmin>", "<xmin>1</xmin><xmin>2</xmin>", "<xmin>"),
        ("<difficult>0</difficult>", "<difficult>0</difficult><difficult>1</difficult>", "<difficult>"),
    ],
)
def test_what_an_object_states_twice_must_not_differ(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = annotation_text([("cat", (1, 2, 3, 4))])
    assert f"object 1 must have one {message}, got 2 that differ" in error_of(
        tmp_path / "a.xml", text.replace(old, new)
    )
    first = new.replace(">9<", ">{}<").format(1, 3, 2, 4) if "bndbox" in old else old * 2
    (tmp_path / "a.xml").write_text(text.replace(old, first))
    assert read_annotation(tmp_path / "a.xml").corners.tolist() == [[1, 2, 3, 4]]


def test_sizes_that_differ_are_refused_and_equal_ones_are_one(tmp_path: Path) -> None:
    text = annotation_text([])
    size = "<size><width>60</width><height>{}</height></size>"
    wrong = text.replace("<size>", size.format(41) + "<size>")
    assert "height must be stated once, got 2 that differ" in error_of(tmp_path / "a.xml", wrong)
    (tmp_path / "a.xml").write_text(text.replace("<size>", size.format("40.0") + "<size>"))
    assert read_annotation(tmp_path / "a.xml").height == 40
    inside = text.replace("<width>60</width>", "<width>60</width><width>61</width>")
    assert "<size> must have one <width>, got 2 that differ" in error_of(tmp_path / "a.xml", inside)


@pytest.mark.parametrize(
    ("flag", "difficult"), [("0", False), ("1", True), ("", False), (" TRUE\n", True), ("False", False)]
)
def test_difficult_is_a_flag(tmp_path: Path, flag: str, difficult: bool) -> None:
    path = tmp_path / "a.xml"
    path.write_text(annotation_text([("cat", (1, 2, 3, 4))]).replace("<difficult>0", f"<difficult>{flag}"))
    assert read_annotation(path).difficult.tolist() == [difficult]


@pytest.mark.parametrize("flag", ["yes", "2", "-1", "0.5", "maybe"])
def test_difficult_that_is_no_flag_is_refused(tmp_path: Path, flag: str) -> None:
    text = annotation_text([("cat", (1, 2, 3, 4))]).replace("<difficult>0", f"<difficult>{flag}")
    assert f"difficult of object 1 must be 0 or 1, got {flag!r}" in error_of(tmp_path / "a.xml", text)


@pytest.mark.parametrize("name", ["", "  ", "ca\nt", "ca\tt", "x" * 201, "\u202ecat", "ca\u2028t"])
def test_name_that_is_no_line_is_refused(tmp_path: Path, name: str) -> None:
    text = annotation_text([("dog", (1, 2, 3, 4)), (name, (1, 2, 3, 4))])
    message = error_of(tmp_path / "a.xml", text)
    assert "name of object 2 must be 1 to 200 printable characters in one line, got '" in message


def test_name_or_number_with_elements_in_it_is_refused(tmp_path: Path) -> None:
    text = annotation_text([("cat", (1, 2, 3, 4))])
    for old, tag in (("cat", "name"), (">3<", "xmax")):
        wrong = text.replace(old, "cat<b/>juice" if old == "cat" else ">3<b/>0<")
        assert f"<{tag}> of object 1 must hold text alone, got <b> in it" in error_of(tmp_path / "a.xml", wrong)


def test_objects_that_stand_further_in_are_not_left_out_without_a_word(tmp_path: Path) -> None:
    text = annotation_text([("cat", (1, 2, 3, 4))]).replace("<object>", "<objects><object>")
    message = error_of(tmp_path / "a.xml", text.replace("</object>", "</object></objects>"))
    assert "objects must stand in <annotation> itself" in message


def test_a_namespace_changes_nothing(tmp_path: Path) -> None:
    text = annotation_text([("cat", (1, 2, 3, 4))])
    path = tmp_path / "a.xml"
    path.write_text(text.replace("<annotation>", '<annotation xmlns="http://somewhere">'))
    assert read_annotation(path).corners.tolist() == [[1, 2, 3, 4]]
    spaced = text.replace("<object", "<v:object").replace("</object", "</v:object")
    path.write_text(spaced.replace("<annotation>", '<annotation xmlns:v="v">'))
    assert read_annotation(path).names == ("cat",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_annotation(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(annotation_text([("\u00e9t\u00e9", (1, 2, 3, 4))]).encode(encoding))
    assert read_annotation(path).names == ("\u00e9t\u00e9",)


def test_elements_may_nest_as_deep_as_they_like(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<annotation>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</annotation>")
    assert read_annotation(path).names == ()


def test_a_pipe_and_a_folder_are_no_annotations(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.xml")
    (tmp_path / "b.xml").mkdir()
    for name in ("a.xml", "b.xml"):
        with pytest.raises(DataError, match=rf"annotation must be a readable file, got .*{name} \(it is "):
            read_annotation(tmp_path / name)


@pytest.mark.parametrize("width", ["120.5", "1e10", "1_0", "-0.5", "9" * 400])
def test_size_that_is_no_whole_number_is_refused(tmp_path: Path, width: str) -> None:
    message = error_of(tmp_path / "a.xml", annotation_text([], width=width))
    assert "width must be a whole number of pixels up to 1e9, got '" in message


@pytest.mark.parametrize("width", ["-3", "wide", "nan", "inf"])
def test_size_that_is_no_number_of_pixels_is_refused(tmp_path: Path, width: str) -> None:
    assert f"width must be a whole number of pixels up to 1e9, got {width!r}" in error_of(
        tmp_path / "a.xml", annotation_text([], width=width)
    )


def test_many_files_equal_each_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_files, "CHUNK", 3)
    random = np.random.default_rng(0)
    paths = [""]
    for number in range(20):
        objects = [(f"class{c}", tuple(random.integers(0, 50, 4))) for c in range(random.integers(0, 4))]
        paths.append(str(write_annotation(tmp_path / f"{number}.xml", *objects, height=number)))
    table = read_annotations(paths)
    assert table.sizes.shape == (21, 2)
    assert table.sizes[0].tolist() == [0, 0]
    for position, path in enumerate(paths[1:], 1):
        alone = read_annotation(Path(path))
        rows = table.image == position
        assert table.sizes[position].tolist() == [alone.height, alone.width]
        assert tuple(table.names[rows]) == alone.names
        np.testing.assert_array_equal(table.corners[rows], alone.corners)


def test_no_files_make_an_empty_table() -> None:
    table = read_annotations([])
    assert table.sizes.shape == (0, 2)
    assert table.corners.shape == (0, 4)


def test_all_of_many_bad_files_are_named_in_order_and_have_no_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_files, "CHUNK", 2)
    paths = [write_annotation(tmp_path / f"{number}.xml", ("cat", (1, 2, 3, 4))) for number in range(9)]
    paths[4].write_text("<annotation>")
    paths[7].unlink()
    table = read_annotations([str(path) for path in paths])
    first, second = table.errors.tolist()
    assert ("well-formed XML" in first, "4.xml" in first) == (True, True)
    assert ("readable file" in second, "7.xml" in second) == (True, True)
    assert table.image.tolist() == [0, 1, 2, 3, 5, 6, 8]
