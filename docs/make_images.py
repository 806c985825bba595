"""Draw the pictures of the README and docs/api.md with a finished run: `python docs/make_images.py runs/demo`."""

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np

from detector import load_detector
from detector.data.images import read_image
from detector.data.readers import open_dataset
from detector.drawing.pictures import draw_detections
from detector.files import write_atomically
from detector.records import Image, take

DOCS = Path(__file__).parent
ROWS, COLUMNS = 2, 3
HEIGHT, WIDTH = 360, 420  # pixels of one tile
GAP = 8  # pixels between pictures
SIDE = 640  # pixels
JPEG_QUALITY = 88


def main() -> None:
    """Write docs/images/api.jpg, and demo.jpg: the names of either after the run choose it."""
    run, *chosen = sys.argv[1:]
    makers = {"api": api_picture, "demo": demo_picture}
    for name in chosen or makers:
        path = DOCS / "images" / f"{name}.jpg"
        _, content = cv2.imencode(".jpg", makers[name](run)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        with write_atomically(path) as temporary:
            temporary.write_bytes(content.tobytes())


def api_picture(run: str) -> Image:
    """What the first lines of docs/api.md draw, with `run` as the run."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit("docs/api.md must hold a block of Python, got none")
    names: dict[str, Image] = {}
    exec(found.group(1).replace("runs/demo", run), names)
    return names["picture"]


def demo_picture(run: str) -> Image:
    """Test images with objects, spread evenly over the split, drawn as in the report."""
    detector = load_detector(run)
    classes = json.loads(Path(run, "report", "metrics.json").read_text(encoding="utf-8"))["classes"]
    least = np.array([np.inf, *(each["best_f1_score"] for each in classes)], np.float64)  # by label
    dataset = open_dataset(detector.config.data, detector.config.data.test)
    candidates = np.unique(dataset.objects.image)
    chosen = candidates[np.linspace(0, len(candidates) - 1, ROWS * COLUMNS).astype(np.int64)].tolist()
    images = [read_image(dataset.record(position).path) for position in chosen]
    tiles = []
    for position, image, found in zip(chosen, images, detector.detect_many(images), strict=True):
        likely = take(found, found.scores >= least[found.labels])
        drawn = draw_detections(image, likely, dataset.truth(position), dataset.classes.names, SIDE)
        tiles.append(fit(drawn))
    return np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])


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
