"""Show what a trained detector did with images, step by step, and why it missed their objects."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from detector.commands.options import Parser, a_path, a_score, add_detector, say_idle
from detector.commands.process import say, say_left
from detector.data.frames import Stills, find_sources, left_out_lines
from detector.errors import DataError
from detector.jobs.explain_images import PageJob, explain_images
from detector.jobs.known_objects import no_objects, objects_of_json, objects_of_test
from detector.jobs.load_detector import load_detector
from detector.progress import progress_bar
from detector.reports.explain.explanation_pages import INDEX
from detector.runs.lock import owned
from detector.text import one_line

PAGE = re.compile(rf"[0-9]{{6,}}_.*\.html|{re.escape(INDEX)}", re.DOTALL)
SOME_LEFT_OUT, NOTHING_READ = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a page an image, and an index of several; 1 where an image was left out, 2 where all were."""
    options = _parse(arguments)
    files = list(_files(options.images))
    given = objects_of_json(options.annotations) if options.annotations else None
    if given:
        for file in files:
            given(file)  # what is no image of the annotations is told before any work
    detector = load_detector(options.run, options.set, options.classes, options.download)
    if options.min_score is not None:
        detector.checked_score(options.min_score)
    has_data = options.run.is_dir() or detector.config.learns  # an untrained detector was tested on none
    say_idle(options.run, detector.config, options.set, reads_data=has_data and not given)
    objects_of = given or (objects_of_test(detector.config) if has_data else no_objects)
    job = PageJob(detector, options.out, objects_of, str(options.run))
    left_out: list[Path] = []

    def leave_out(file: Path, error: DataError) -> None:
        tqdm.write(one_line(f"left out: {error}"), file=sys.stderr)
        left_out.append(file)

    with owned(options.out):
        pages = explain_images(
            job, progress_bar(files, desc="explain", unit="image"), leave_out, options.min_score
        )
        if pages:
            _tell(options.out, [*([INDEX] if len(files) > 1 else []), *(page.file for page in pages)], len(pages))
    if not left_out:
        return 0
    return SOME_LEFT_OUT if pages else NOTHING_READ


def _tell(folder: Path, written: Sequence[str], pages: int) -> None:
    """Print where to begin, and which pages lie beside those that were written now."""
    sys.stdout.write(one_line(f"{pages} {'page' if pages == 1 else 'pages'}: {folder / written[0]}") + "\n")
    found = {path.name for path in folder.iterdir() if PAGE.fullmatch(path.name)}
    say_left(sorted(found - set(written)), "pages", folder)


def _files(inputs: Sequence[str]) -> Iterator[Path]:
    """The image files that the inputs name, those of folders too; DataError for a video or a camera."""
    sources = find_sources(inputs, 1, 0)
    for line in left_out_lines(sources):
        say(one_line(line))
    for source in sources:
        if not isinstance(source, Stills):
            raise DataError(f"images must be files or folders of images, got {source.name}")
        yield from source.paths


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="explain", description=__doc__)
    add_detector(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE|FOLDER", help="image files, or folders of them")
    parser.add_argument("--out", type=a_path, default=Path("runs/explain"), help="folder to write (%(default)s)")
    parser.add_argument(
        "--annotations", type=a_path, help="COCO JSON of the images' objects (those of the run's test data)"
    )
    parser.add_argument(
        "--min-score", type=a_score, help="least score of a detection to begin with (0.5, of SVMs 0)"
    )
    return parser.parse_args(arguments)
