from pathlib import Path

import cv2
import numpy as np
import pytest
from trees import write_image

from detector.data.frames import Video, count_frames, find_sources, is_live
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
    cases = {
        "empty": "folder must hold images",
        "gone.jpg": "image must be a file",
        "gone": "input must be an image, a folder, a video or a camera's number",
        "notes.txt": "video must be a readable file",
    }
    for name, message in cases.items():
        with pytest.raises(DataError, match=message):
            find_sources([str(tmp_path / name)])
    with pytest.raises(DataError, match="camera must be one that OpenCV opens, got 97"):
        find_sources(["97"])
