import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from trees import write_image

from detector.data import many_files
from detector.data.images import HEAD_BYTES, read_header, read_headers, read_image, read_size, unreadable_images
from detector.errors import DataError
from detector.records import Image


def picture(height: int = 48, width: int = 64) -> Image:
    coarse = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC))


def saved(path: Path, image: PIL.Image.Image, file_format: str, **options: object) -> Path:
    image.save(path, file_format, **options)
    return path


def difference(a: Image, b: Image) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def test_png_is_read_exactly(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", PIL.Image.fromarray(picture()), "PNG")
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, picture())
    assert read_size(path) == (48, 64)


def test_jpeg_has_the_colours_pil_sees(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", PIL.Image.fromarray(picture()), "JPEG")
    assert difference(read_image(path), np.asarray(PIL.Image.open(path))) <= 1


def test_cmyk_jpeg_has_the_right_colours(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", PIL.Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95)
    assert PIL.Image.open(path).mode == "CMYK"
    assert difference(read_image(path), np.asarray(PIL.Image.open(path).convert("RGB"))) <= 1
    assert np.abs(read_image(path).astype(int) - picture()).mean() < 3
    assert read_size(path) == (48, 64)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image = PIL.Image.fromarray(picture()).convert(mode)
    path = saved(tmp_path / "a.png", image, "PNG")
    np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_and_the_colour_under_it_kept(tmp_path: Path) -> None:
    alpha = np.zeros((48, 64, 1), np.uint8)
    path = saved(tmp_path / "a.png", PIL.Image.fromarray(np.concatenate([picture(), alpha], axis=2)), "PNG")
    np.testing.assert_array_equal(read_image(path), picture())


def test_transparent_palette_colours_are_kept(tmp_path: Path) -> None:
    image = PIL.Image.fromarray(picture()).quantize(8)
    path = saved(tmp_path / "a.png", image, "PNG", transparency=bytes([0, 128, 0, 0]))
    np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture()[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(path), picture())
    cv2.imwrite(str(path), picture()[..., 0].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(path), np.repeat(picture()[..., :1], 3, axis=2))


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.JPEG", PIL.Image.fromarray(picture()), "PNG")
    np.testing.assert_array_equal(read_image(path), picture())
    assert read_size(path) == (48, 64)


def test_first_picture_of_an_animation_is_read(tmp_path: Path) -> None:
    first = PIL.Image.fromarray(picture()).quantize(16)
    other = [first.rotate(90)]
    path = saved(tmp_path / "a.gif", first, "GIF", save_all=True, append_images=other)
    assert difference(read_image(path), np.asarray(first.convert("RGB"))) == 0
    assert read_size(path) == (48, 64)


def test_what_cv2_cannot_read_is_left_to_pil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = PIL.Image.fromarray(picture()).quantize(16)
    path = saved(tmp_path / "a.png", image, "PNG", transparency=bytes([0, 9]))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tag_turns_the_image_only_when_asked(
    tmp_path: Path, orientation: int, file_format: str
) -> None:
    tag = PIL.Image.Exif()
    tag[0x0112] = orientation
    path = saved(tmp_path / "a", PIL.Image.fromarray(picture()), file_format, exif=tag)
    plain, turned = read_image(path), read_image(path, "apply")
    assert plain.shape == (48, 64, 3)
    expected = PIL.ImageOps.exif_transpose(PIL.Image.open(path))
    assert expected is not None
    assert difference(turned, np.asarray(expected)) <= 1
    assert read_size(path) == plain.shape[:2]
    assert read_size(path, "apply") == turned.shape[:2]


def test_long_header_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture()).save(buffer, "JPEG")
    content = buffer.getvalue()
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    path.write_bytes(content[:2] + 3 * comment + content[2:])
    assert read_size(path) == (48, 64)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("cut", [1, 2, 20, 200, -1000])
def test_truncated_file_is_refused_by_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], file_format: str, cut: int
) -> None:
    path = saved(tmp_path / "a.jpg", PIL.Image.fromarray(picture()), file_format)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if cut < 0 else content[:-cut])
    if cut in (1, 2) or (file_format == "PNG" and cut == 20):  # the end mark or a checksum: every pixel is there
        assert difference(read_image(path), np.asarray(PIL.Image.open(io.BytesIO(content)))) <= 1
        assert read_size(path) == (48, 64)
        return
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"image must be a whole, readable file, got .*a\.jpg \(") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP"])
def test_bytes_after_the_end_do_no_harm(tmp_path: Path, file_format: str) -> None:
    path = saved(tmp_path / "a", PIL.Image.fromarray(picture()), file_format)
    whole = read_image(path)
    path.write_bytes(path.read_bytes() + b"\0\0trailer")
    np.testing.assert_array_equal(read_image(path), whole)
    assert read_size(path) == (48, 64)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"<html></html>", bytes(5000)])
def test_file_that_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"got .*a\.jpg \("):
            read(path)


def test_missing_file_and_folder_are_refused_by_name(tmp_path: Path) -> None:
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"got .*gone\.jpg \(No such file or directory\)"):
            read(tmp_path / "gone.jpg")
        with pytest.raises(DataError, match=r"\(it is a folder\)"):
            read(tmp_path)


def test_sizes_of_many_files_come_with_the_errors_by_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_files, "CHUNK", 4)
    paths = [str(write_image(tmp_path / f"{n}.jpg", 10 + n, 20 + n)) for n in range(30)]
    Path(paths[17]).write_bytes(b"")
    headers = read_headers(paths)
    assert list(headers.errors) == [17]
    assert "17.jpg" in headers.errors[17]
    assert unreadable_images(paths) == headers.errors
    expected = np.stack([np.arange(30) + 10, np.arange(30) + 20], axis=1)
    expected[17] = 0
    np.testing.assert_array_equal(headers.stored, expected)
    assert headers.orientations.tolist() == [1] * 30


def test_sizes_of_no_files_are_empty() -> None:
    headers = read_headers([])
    assert (headers.stored.shape, headers.sizes("apply").shape) == ((0, 2), (0, 2))
    assert headers.errors == {}


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_a_tag_behind_many_pixels_is_read_with_the_size(tmp_path: Path, file_format: str) -> None:
    tag = PIL.Image.Exif()
    tag[0x0112] = 6
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8))
    path = saved(
        tmp_path / "a", noise, file_format, exif=tag, **({"lossless": True} if file_format == "WEBP" else {})
    )
    content = path.read_bytes()
    if file_format == "PNG":
        at = content.index(b"eXIf") - 4
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        path.write_bytes(content[:at] + content[end:-12] + content[at:end] + content[-12:])
    assert len(content) > 2 * HEAD_BYTES
    assert read_header(path) == (300, 200, 6)
    assert read_size(path, "apply") == read_image(path, "apply").shape[:2] == (200, 300)


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_a_tag_of_another_value_turns_nothing(tmp_path: Path, value: int) -> None:
    tag = PIL.Image.Exif()
    tag[0x0112] = value
    path = saved(tmp_path / "a", PIL.Image.fromarray(picture()), "JPEG", exif=tag)
    assert read_header(path) == (48, 64, 1)
    assert read_size(path, "apply") == read_image(path, "apply").shape[:2] == (48, 64)


@pytest.mark.shared
def test_real_images_are_as_pil_sees_them(shared: Path) -> None:
    folders = ("fruit/train", "raccoon/images", "ilsvrc_det_mini/Data/DET/val")
    paths = [path for folder in folders for path in sorted((shared / "data" / folder).glob("*.[jJ]*"))[::8]]
    assert len(paths) > 50
    for path in paths:
        image = read_image(path)
        assert read_size(path) == image.shape[:2]
        assert difference(image, np.asarray(PIL.Image.open(path).convert("RGB"))) <= 2, path
