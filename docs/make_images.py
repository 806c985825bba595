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
from detector.records import Image

ROWS, COLUMNS = 2, 3
HEIGHT, WIDTH = 360, 420  # pixels of one tile
GAP = 8  # pixels between pictures


def main() -> None:
    """Write docs/images/demo.jpg."""
    run = RunFolder(Path(sys.argv[1]))
    config = run.read_config([f"evaluate.pictures={ROWS * COLUMNS}"])
    dataset = open_dataset(config.data, config.data.test)
    store = Store.open(run.stage("detect", split_slug(config.data.test)).folder / "store")
    pictures = [picture.image for picture in draw_pictures(config, dataset, read_table(store, config))]
    tiles = [fit(picture) for picture in pictures]
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    out = Path(__file__).parent / "images" / "demo.jpg"
    out.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(out), np.vstack(rows)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def fit(picture: Image) -> Image:
    """`picture` scaled into a white tile."""
    scale = min((HEIGHT - GAP) / picture.shape[0], (WIDTH - GAP) / picture.shape[1])
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    tile = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    top, left = (HEIGHT - small.shape[0]) // 2, (WIDTH - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile


if __name__ == "__main__":
    main()
