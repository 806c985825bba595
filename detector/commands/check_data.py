"""Check a config's data (unreadable images, bad boxes, duplicates, missing classes) and count what there is."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands.options import Parser, a_path, whole_number
from detector.config import Config, load_config
from detector.data.check import check_data
from detector.data.check_text import check_text
from detector.reports.data_page import write_data_page

FOUND_ERRORS = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found and write a page with samples; 1 where there are errors."""
    options = _parse(arguments)
    config = load_config(Config, options.config, options.overrides)
    roles = {"train": config.data.train, "validation": config.finetune.validation, "test": config.data.test}
    check = check_data(config.data, roles, options.decode)
    page = options.html or Path("runs") / config.name / "data.html"
    write_data_page(page, check, f"Data of {config.name}", options.samples, config.data.exif)
    sys.stdout.write(f"{check_text(check, options.cases)}page: {page}\n")
    return FOUND_ERRORS if check.count("error") else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="check_data", description=__doc__)
    parser.add_argument("config", type=a_path, help="YAML file, such as configs/ilsvrc_det.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the file's")
    parser.add_argument("--decode", action="store_true", help="decode every image, not its header and end alone")
    parser.add_argument(
        "--cases", type=whole_number(0), default=5, help="to print of each finding; 0: all (%(default)s)"
    )
    parser.add_argument(
        "--samples", type=whole_number(0, 10_000), default=6, help="images of each split on the page (%(default)s)"
    )
    parser.add_argument("--html", type=a_path, help="file of the page (runs/NAME/data.html)")
    return parser.parse_intermixed_args(arguments)
