import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from trees import write_image

from detector.data.exchange.drawn_pictures import PictureFolder
from detector.data.folders import DRAWN, UNREAD
from detector.data.frames import Video, count_frames, find_sources, is_live, left_out_lines
from detector.errors import DataError


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Seven pictures that grow brighter, by a codec without loss of grey."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    if not writer.isOpened():
        pytest.skip("OpenCV writes no videos here")
    for number in range(7):
        writer.write(np.full((24, 32, 3), 30 * number, np.uint8))
    writer.release()
    return path


def chunks(content: bytes) -> list[int]:
    """Where the pictures of an AVI begin, their headers of 8 bytes included."""
    return [at for at in range(content.index(b"movi"), len(content)) if content[at : at + 4] == b"00dc"]


def damaged(path: Path, number: int) -> Path:
    """The AVI with the picture `number` overwritten."""
    content = path.read_bytes()
    begin = chunks(content)[number] + 8
    length = int.from_bytes(content[begin - 4 : begin], "little")
    path.write_bytes(content[:begin] + bytes(length) + content[begin + length :])
    return path


def test_pictures_after_a_damaged_one_are_read_and_it_is_told(
    video: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    *frames, last = find_sources([str(damaged(video, 2))])[0]
    assert [frame.number for frame in frames] == [0, 1, 3, 4, 5, 6]
    for frame in frames:
        assert frame.number is not None
        assert abs(float(frame.read("ignore").mean()) - 30 * frame.number) < 4
    with pytest.raises(DataError, match=r"video must be whole, got .*film\.avi \(picture 2 of 7 cannot be read\)"):
        last.read("ignore")
    assert capfd.readouterr().err == ""


def test_a_video_that_ends_early_tells_what_is_missing(video: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = video.read_bytes()
    video.write_bytes(content[: chunks(content)[4]])
    (source,) = find_sources([str(video)])
    *frames, last = source
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"\(pictures 4 to 6 of 7 cannot be read\)"):
        last.read("ignore")
    assert count_frames([source]) == 7
    assert capfd.readouterr().err == ""


def test_a_video_without_a_picture_says_so(video: Path) -> None:
    content = video.read_bytes()
    empty = bytearray(content[: chunks(content)[0]])
    for name, offset in ((b"avih", 24), (b"strh", 40)):  # the numbers of pictures
        at = empty.index(name) + offset
        empty[at : at + 4] = bytes(4)
    video.write_bytes(empty)
    (frame,) = find_sources([str(video)])[0]
    with pytest.raises(DataError, match=r"video must hold pictures, got none in .*film\.avi"):
        frame.read("ignore")


def test_of_a_damaged_video_only_what_was_wanted_is_missed(video: Path) -> None:
    (source,) = find_sources([str(damaged(video, 2))], every=3)
    assert [frame.number for frame in source] == [0, 3, 6]
    (source,) = find_sources([str(video)], limit=2)
    assert [frame.number for frame in source] == [0, 1]


@pytest.mark.parametrize("name", ["caf\udce9.avi", "concat:film.avi", "film%03d.avi", "-film !.avi", "写.avi"])
def test_a_video_may_be_called_anything(video: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(video.parent)
    video.rename(name)
    (source,) = find_sources([name])
    frames = list(source)
    assert [frame.number for frame in frames] == list(range(7))
    assert frames[0].file == name


def test_a_playlist_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    path.write_text("#EXTM3U\n#EXTINF:10,\nhttp://example.com/film.ts\n")
    with pytest.raises(DataError, match="video must be a readable file"):
        find_sources([str(path)])


def test_hidden_folders_are_left_out_and_linked_ones_searched_once(tmp_path: Path) -> None:
    for name in ("a/c.jpg", ".ipynb_checkpoints/c-checkpoint.jpg", "a/.cache/d.jpg"):
        write_image(tmp_path / name)
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    (source,) = find_sources([str(tmp_path)])
    assert [frame.file for frame in source] == [str(tmp_path / "a" / "c.jpg")]


def test_photographs_of_kinds_that_are_not_read_are_told(tmp_path: Path) -> None:
    for name in ("b/IMG_2.HEIC", "a.avif", "notes.txt", ".hidden.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (source,) = find_sources([str(write_image(tmp_path / "c.jpg"))])
    assert left_out_lines([source]) == []
    sources = find_sources([str(tmp_path)])
    assert count_frames(sources) == 1
    assert left_out_lines(sources) == [f"2 {UNREAD} ({tmp_path / 'a.avif'}, ...)"]


def test_pictures_that_were_drawn_are_no_images_of_their_folder(tmp_path: Path) -> None:
    photo = write_image(tmp_path / "000012_a.jpg")
    pictures = PictureFolder(tmp_path / "found" / "pictures")
    pictures.write("000001_a.jpg", photo.read_bytes())
    drawn = pictures.folder / "000001_a.jpg"
    sources = find_sources([str(tmp_path)])
    assert [frame.file for frame in sources[0]] == [str(photo)]
    assert left_out_lines(sources) == [f"1 {DRAWN} ({drawn})"]
    for word in (drawn, pictures.folder):  # who names nothing else means them
        (source,) = find_sources([str(word)])
        assert [frame.file for frame in source] == [str(drawn)]
        assert left_out_lines([source]) == []


def test_an_image_without_a_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    path = write_image(tmp_path / "photo.png", height=5, width=7).rename(tmp_path / "photo")
    (frame,) = find_sources([str(path)])[0]
    assert frame.number is None
    assert frame.read("ignore").shape == (5, 7, 3)


def test_a_folder_gives_its_images_in_order_with_those_below_it(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.JPG", "a/c.jpg", ".hidden.jpg"):
        write_image(tmp_path / name)
    (tmp_path / "a" / "note.txt").write_text("no image")
    (source,) = find_sources([str(tmp_path)])
    assert [Path(frame.file).relative_to(tmp_path).as_posix() for frame in source] == [
        "a/c.jpg",
        "a/z.JPG",
        "b.png",
    ]
    assert count_frames([source]) == 3


def test_an_image_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", height=5, width=7)
    (frame,) = find_sources([str(path)])[0]
    assert frame.number is None
    assert frame.read("ignore").shape == (5, 7, 3)


def test_every_third_picture_of_a_video_in_rgb(video: Path) -> None:
    (source,) = find_sources([str(video)], every=3)
    frames = list(source)
    assert [frame.number for frame in frames] == [0, 3, 6]
    for frame in frames:
        assert frame.number is not None
        assert abs(float(frame.read("ignore").mean()) - 30 * frame.number) < 4
    assert count_frames([source]) == 3


def test_at_most_so_many_pictures_of_a_video(video: Path) -> None:
    sources = find_sources([str(video)], limit=2)
    assert len(list(sources[0])) == 2
    assert count_frames(sources) == 2


def test_the_length_of_a_camera_is_not_known() -> None:
    assert count_frames([Video(0)]) is None
    assert is_live(Video(0))
    assert count_frames([Video(0, limit=4)]) == 4


def test_what_is_no_input_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no video")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.jpg")
    cases = {
        "empty": "folder must hold images",
        "gone.jpg": "image must be a file",
        "pipe": "input must be an image",
        "pipe.jpg": "image must be a file",
        "gone": "input must be an image, a folder, a video or a camera's number",
        "notes.txt": "video must be a readable file",
    }
    for name, message in cases.items():
        with pytest.raises(DataError, match=message):
            find_sources([str(tmp_path / name)])
    for word in ("", "http://example.com/film.mp4", "rtsp://example.com/1", "videotestsrc ! appsink", "a\0b"):
        with pytest.raises(DataError, match="input must be an image"):
            find_sources([word])
    with pytest.raises(DataError, match=r"number, got ''$"):
        find_sources([""])
    with pytest.raises(DataError, match="camera must be one that OpenCV opens, got 97"):
        find_sources(["97"])


@pytest.mark.parametrize(
    "word",
    [str(2**31), "99999999999999999999", pytest.param("9" * 1001, id="1001"), pytest.param("9" * 5000, id="5000")],
)
def test_a_camera_s_number_is_one_that_opencv_can_count_to(word: str) -> None:
    with pytest.raises(DataError, match="camera must be a number from 0 to 2147483647, got "):
        find_sources([word])


def test_what_opencv_stumbles_over_while_opening_is_told(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise cv2.error("no")

    monkeypatch.setattr(cv2, "VideoCapture", stumble)
    with pytest.raises(DataError, match="camera must be one that OpenCV opens, got 2147483647"):
        find_sources([str(2**31 - 1)])
    with pytest.raises(DataError, match=r"video must be a readable file, got .*film\.avi"):
        find_sources([str(video)])


def test_what_is_called_as_an_image_and_is_none_is_told_when_it_is_read(tmp_path: Path) -> None:
    write_image(tmp_path / "b.png")
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "d.jpg").symlink_to(tmp_path / "d.jpg")
    os.mkfifo(tmp_path / "c.jpg")
    (source,) = find_sources([str(tmp_path)])
    assert count_frames([source]) == 4
    broken, whole, pipe, loop = source
    assert whole.read("ignore").size
    reasons = (broken, "No such file or directory"), (pipe, "it is no regular file"), (loop, "symbolic links")
    for frame, reason in reasons:
        with pytest.raises(DataError, match=rf"image must be a readable file, got .*\.jpg \(.*{reason}"):
            frame.read("ignore")
