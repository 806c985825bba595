"""Split an image list of ILSVRC-DET in two halves that balance every class, as R-CNN made val1 and val2 of val."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detector.commands.options import Parser, a_name, a_path, whole_number
from detector.config import Config, load_config
from detector.config.limits import SEED
from detector.data.classes import ClassList
from detector.data.dataset import Dataset
from detector.data.lists import read_image_list
from detector.data.names import KnownIds
from detector.data.readers import format_of, open_dataset
from detector.data.val_split import class_counts, imbalance, split_balanced
from detector.errors import ConfigError, DataError
from detector.files import read_text, write_text
from detector.records import FIRST_LABEL, Bool, Int64
from detector.text import shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the two lists; print their paths, what they hold and how well they balance."""
    options = _parse(arguments)
    config = load_config(Config, options.config, options.overrides)
    list_folder = format_of(config.data).list_folder
    if list_folder is None:
        raise ConfigError(f"data.format must be one with lists to split, got {config.data.format}")
    dataset = open_dataset(config.data, [options.split])
    counts = class_counts(dataset)
    first = ~_listed(dataset, options.second) if options.second else split_balanced(counts, options.seed)
    folder = options.out or list_folder(config.data.root)
    halves = {folder / f"{dataset.name}{number}.txt": half for number, half in ((1, first), (2, ~first))}
    _write_lists(dataset, halves, options.second, options.force)
    for path, half in halves.items():
        sys.stdout.write(f"{path}: {half.sum()} images, {counts[half].sum()} objects\n")
    sys.stdout.write(_balance_text(counts, first, dataset.classes))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="split_val", description=__doc__)
    parser.add_argument("config", type=a_path, help="YAML file, such as configs/ilsvrc_det.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the file's")
    parser.add_argument("--split", type=a_name, default="val", help="split to halve (%(default)s)")
    parser.add_argument(
        "--out", type=a_path, help="folder of the lists SPLIT1.txt and SPLIT2.txt (the data set's own list folder)"
    )
    parser.add_argument(
        "--second",
        type=a_path,
        metavar="FILE",
        help="list of the second half, such as R-CNN's val2.txt; no search",
    )
    parser.add_argument("--seed", type=whole_number(0, SEED), default=0, help="of the search (%(default)s)")
    parser.add_argument("--force", action="store_true", help="replace other lists of these names")
    return parser.parse_intermixed_args(arguments)


def _listed(dataset: Dataset, path: Path) -> Bool:
    """Mask (n,) of the images of `dataset` in the list `path`; DataError names one that it lacks."""
    known = frozenset(dataset.image_ids.tolist())
    ids, _ = read_image_list(path, KnownIds(known))
    for image_id in ids:
        if image_id not in known:
            raise DataError(f"images of the second half must be in {dataset.name}, got {shown(image_id)} ({path})")
    return np.isin(dataset.image_ids, np.array(ids, np.str_))


def _write_lists(dataset: Dataset, halves: dict[Path, Bool], second: Path | None, force: bool) -> None:
    """Write each half's list; unless `force`, DataError before anything is written where a file holds another."""
    texts = {}
    for path, half in halves.items():
        rows = zip(dataset.image_ids[half], dataset.indices[half], strict=True)
        texts[path] = "".join(f"{image_id} {index}\n" for image_id, index in rows)
    second_path = list(halves)[1]
    if second and second.resolve() == second_path.resolve():
        del texts[second_path]  # it is there already, in an order of its own
    for path, text in texts.items():
        if path.exists() and not force and read_text(path, "list").split() != text.split():
            raise DataError(
                f"list must be new or the same as before, got another one at {path}; --force replaces it"
            )
    for path, text in texts.items():
        write_text(path, text)


def _balance_text(counts: Int64, first: Bool, classes: ClassList) -> str:
    present = counts.any(axis=0)
    if not present.any():
        return "no objects to balance\n"
    imbalances = imbalance(counts, first)
    worst = int(imbalances.argmax())
    a, b = counts[first, worst].sum(), counts[~first, worst].sum()
    return (
        f"imbalance |a - b| / (a + b) of {present.sum()} classes: median {np.median(imbalances[present]):.1%}, "
        f"worst {imbalances[worst]:.1%} ({classes.name(worst + FIRST_LABEL)}: {a} and {b} objects)\n"
    )
