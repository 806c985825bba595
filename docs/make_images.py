"""Draw the README's picture from a finished run: `python docs/make_images.py runs/demo`."""

import sys
from pathlib import Path

import cv2
import numpy as np

from detector.data.readers import open_dataset
from detector.data.stores import Store
from detector.pipeline.detect import read_table
from detector.pipeline.evaluate import draw_pictures
from detector.pipeline.run import RunFolder
from detector.pipeline.train import split_slug

ROWS, COLUMNS = 2, 3
HEIGHT, WIDTH = 360, 420  # pixels of one picture


def main() -> None:
    """Write docs/images/demo.png."""
    run = RunFolder(Path(sys.argv[1]))
    config = run.read_config([f"evaluate.pictures={ROWS * COLUMNS}"])
    dataset = open_dataset(config.data, config.data.test)
    store = Store.open(run.stage("detect", split_slug(config.data.test)).folder / "store")
    pictures = [picture.image for picture in draw_pictures(config, dataset, read_table(store, config))]
    tiles = [cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for picture in pictures]
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    out = Path(__file__).parent / "images" / "demo.png"
    out.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(out), np.vstack(rows)[:, :, ::-1])


if __name__ == "__main__":
    main()
