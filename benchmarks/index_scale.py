"""The index of the full ILSVRC-DET training set, without pixels: memory and seconds to the first batch.

python benchmarks/index_scale.py [--images 456567] [--objects 478807] [--regions 1400]

Makes a data set of as many synthetic records in flat arrays, and a store of the labels of their regions; then, in
a process of its own, opens both, prepares the sampler and draws batches, as training does when it starts.
"""

import argparse
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from detector.config import FinetuneSettings
from detector.data.classes import ilsvrc_det_classes
from detector.data.dataset import Dataset
from detector.records import object_table
from detector.runs.environment import environment_notes
from detector.runs.split import Split, truth_key
from detector.runs.store import Store, StoreWriter
from detector.training.sample import RegionSampler

CLASSES = 200
DRAWS = 200
SHARD = 8192  # images
KEY = "scale"


def main() -> None:
    """Make what is to be opened, then measure a start."""
    options = parse()
    if options.measure:
        measure(options)
        return
    make_labels(options)
    show(*(f"{name}: {value}" for name, value in environment_notes().items()), "")
    command = [sys.executable, __file__, *sys.argv[1:], "--measure"]
    subprocess.run(command, check=True)
    shutil.rmtree(options.folder)


def make_labels(options: argparse.Namespace) -> None:
    """A store of labels as `train_det` writes it: 2% of the regions hold objects."""
    writer = StoreWriter(options.folder, {"labels": (np.dtype(np.int16), ())}, options.images, KEY, SHARD)
    for shard in writer.missing_shards():
        random = np.random.default_rng(shard.start)
        entries = []
        for _ in shard:
            labels = np.full(options.regions, 0 if random.random() < 0.15 else -1, np.int16)
            positives = random.integers(0, options.regions, options.regions // 50)
            labels[positives] = random.integers(1, CLASSES + 1)
            entries.append({"labels": labels})
        writer.write_shard(shard, entries)
    writer.finish()


def make_dataset(options: argparse.Namespace) -> Dataset:
    """As many records as the real training set has, with lists of which images are complete for which class."""
    random = np.random.default_rng(0)
    count, objects = options.images, options.objects
    numbers = np.arange(count)
    corner = random.uniform(0, 300, (objects, 2))
    return Dataset(
        name="train",
        classes=ilsvrc_det_classes(),
        image_ids=np.char.add("ILSVRC2014_train_0000/ILSVRC2014_train_", np.char.zfill(numbers.astype(str), 8)),
        paths=np.char.add("/data/ILSVRC/Data/DET/train/ILSVRC2014_train_", numbers.astype(str)),
        sizes=np.tile(np.array([415, 482]), (count, 1)),
        objects=object_table(
            np.sort(random.integers(0, count, objects)),
            np.concatenate([corner, corner + random.uniform(20, 180, (objects, 2))], axis=1),
            random.integers(1, CLASSES + 1, objects),
            np.zeros(objects, np.bool_),
            np.zeros(objects, np.bool_),
        ),
        complete=random.random((count, CLASSES), np.float32) < 0.15,
        indices=numbers + 1,
        blacklist=np.empty((0, 2), np.int64),
    )


def measure(options: argparse.Namespace) -> None:
    """What a start costs: the index, its hashes, the sampler, batches."""
    peak = [0.0]
    threading.Thread(target=watch, args=(peak,), daemon=True).start()
    started = time.perf_counter()
    dataset = make_dataset(options)
    made = time.perf_counter()
    hashes = (Split(dataset, "all").key, truth_key(dataset))
    hashed = time.perf_counter()
    labels = Store.open(options.folder, KEY)
    settings = FinetuneSettings()
    sampler = RegionSampler(labels.field("labels"), labels.offsets, settings, settings.positives, seed=0)
    ready = time.perf_counter()
    for step in range(DRAWS):
        draw = sampler.draw(step)
        for position in draw.image.tolist():
            dataset.truth(position)
    drawn = time.perf_counter()
    rows = {
        "index made in memory": f"{made - started:.1f} s ({options.images:,} images, {options.objects:,} objects)",
        "hashes of index and truth": f"{hashed - made:.1f} s ({', '.join(hashes)})",
        "labels opened, sampler ready": f"{ready - hashed:.1f} s ({labels.offsets[-1]:,} regions, "
        f"{len(sampler.positives):,} positives)",
        "start, all of it": f"{ready - started:.1f} s",
        "a batch drawn, with its objects": f"{1e3 * (drawn - ready) / DRAWS:.1f} ms",
        "memory, mapped files not counted": f"{held():.2f} GiB, {peak[0]:.2f} GiB at most on the way",
    }
    show("| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()))


def watch(peak: list[float]) -> None:
    """Keep the most memory that was ever held in `peak`."""
    while True:
        peak[0] = max(peak[0], held())
        time.sleep(0.01)


def held() -> float:
    """GiB of memory that is the process's own, without files that are mapped."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["RssAnon"].split()[0]) / 1024**2


def show(*lines: str) -> None:
    """Write `lines`."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=456_567)
    parser.add_argument("--objects", type=int, default=478_807)
    parser.add_argument("--regions", type=int, default=1400, help="of an image")
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp/index_scale"), help="of the store, removed at the end"
    )
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
