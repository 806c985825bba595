import os
from pathlib import Path
from threading import Thread

from detector.data.duplicates import equal_files


def test_files_of_equal_content_are_found_whatever_their_names(tmp_path: Path) -> None:
    contents = [b"one", b"two", b"one", b"longer", b"two", b"one", b"", b""]
    paths = [tmp_path / f"{number}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    names = [*map(str, paths), str(tmp_path / "missing"), str(tmp_path / "missing")]
    assert equal_files(names) == [[0, 2, 5], [1, 4], [6, 7]]


def test_without_files_there_are_no_equal_ones() -> None:
    assert equal_files([]) == []


def test_a_pipe_is_not_waited_for_and_equals_no_empty_file(tmp_path: Path) -> None:
    empty, pipe = tmp_path / "empty", tmp_path / "pipe"
    empty.touch()
    os.mkfifo(pipe)
    writer = Thread(target=lambda: pipe.open("wb").close(), daemon=True)  # so that who reads it does not hang
    writer.start()
    assert equal_files([str(empty), str(pipe)]) == []
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    writer.join(5)
