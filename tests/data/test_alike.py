from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.data.alike import scenes


def picture(seed: int) -> np.ndarray:
    """Something that looks like no other seed's."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return cv2.resize(small, (90, 80), interpolation=cv2.INTER_NEAREST)


def write(path: Path, image: np.ndarray, quality: int = 95) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return str(path)


def test_pictures_that_differ_are_scenes_of_their_own(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"IMG_{seed}.jpg", picture(seed)) for seed in range(20)]
    assert scenes(paths).tolist() == list(range(20))
    assert scenes([]).tolist() == []


def test_the_same_picture_in_another_size_and_quality_is_of_one_scene(tmp_path: Path) -> None:
    smaller = cv2.resize(picture(0), (54, 48), interpolation=cv2.INTER_AREA)
    paths = [
        write(tmp_path / "a.jpg", picture(0)),
        write(tmp_path / "b.jpg", picture(1)),
        write(tmp_path / "x.jpg", smaller, 60),
    ]
    assert scenes(paths).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("a_jpg.rf.0a1b2c", "a_jpg.rf.ffee99", True),
        ("a_jpg.rf.0a1b2c", "b_jpg.rf.0a1b2c", False),
        ("walk_mp4-12_jpg.rf.01ab", "walk_mp4-97_jpg.rf.02cd", True),
        ("walk.mp4_0012", "swim.mp4_0012", False),
        ("frame_000001", "frame_000250", True),
        ("clip-3_000001", "clip-4_000001", False),
        ("raccoon-1", "raccoon-2", False),
        ("camel12", "camel13", False),
    ],
)
def test_names_tell_copies_and_frames(one: str, other: str, together: bool, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.jpg", picture(row)) for row, name in enumerate((one, other))]
    assert scenes(paths).tolist() == ([0, 0] if together else [0, 1])


def test_neighbours_by_number_need_look_less_alike(tmp_path: Path) -> None:
    changed = picture(0)
    changed[:20] = changed[:20, ::-1]  # a quarter of the picture moved
    for names, wanted in ((("shot7", "shot8"), [0, 0]), (("shot7", "shot9"), [0, 0]), (("one", "two"), [0, 1])):
        paths = [
            write(tmp_path / f"{name}.jpg", image)
            for name, image in zip(names, (picture(0), changed), strict=True)
        ]
        assert scenes(paths).tolist() == wanted


def test_what_cannot_be_read_or_shows_nothing_is_like_nothing(tmp_path: Path) -> None:
    flat = np.full((40, 60, 3), 128, np.uint8)
    paths = [write(tmp_path / "a.jpg", flat), write(tmp_path / "b.jpg", flat, 50), str(tmp_path / "gone.jpg")]
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert scenes([*paths, str(tmp_path / "broken.jpg")]).tolist() == [0, 1, 2, 3]
