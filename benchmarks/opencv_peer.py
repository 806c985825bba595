"""OpenCV contrib's selective search as a process: `selective_search.py` starts it with an interpreter that has it.

Reads (settings, image in BGR) from standard input, one pickle after another, and answers with (rectangles x, y,
width, height; seconds) on standard output.
"""

import pickle
import sys
import time
from typing import Any

import cv2
import numpy as np

SIGMA = 0.8
SEGMENTATION: Any = getattr(cv2, "ximgproc").segmentation  # noqa: B009 - of OpenCV contrib alone


def main() -> None:
    """Answer until the input ends."""
    cv2.setNumThreads(1)
    while True:
        try:
            settings, image = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        started = time.perf_counter()
        rectangles = np.asarray(searcher(settings, image).process())
        pickle.dump((rectangles, time.perf_counter() - started), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def searcher(settings: str, image: Any) -> Any:
    """OpenCV's own fast or quality mode, or the two colour spaces and similarities of fast at R-CNN's scales."""
    search = SEGMENTATION.createSelectiveSearchSegmentation()
    search.setBaseImage(image)
    if settings == "fast":
        search.switchToSelectiveSearchFast(150, 150, SIGMA)
    elif settings == "quality":
        search.switchToSelectiveSearchQuality(150, 150, SIGMA)
    else:
        rcnn(search, image)
    return search


def rcnn(search: Any, image: Any) -> None:
    """HSV and Lab, k and minimum size 50 and 100, the similarities C + T + S + F and T + S + F."""
    module = SEGMENTATION
    for code in (cv2.COLOR_BGR2HSV, cv2.COLOR_BGR2Lab):
        search.addImage(cv2.cvtColor(image, code))
    for k in (50, 100):
        search.addGraphSegmentation(module.createGraphSegmentation(SIGMA, k, k))
    name = "createSelectiveSearchSegmentationStrategy"
    colour, texture, size, fill = (getattr(module, name + term)() for term in ("Color", "Texture", "Size", "Fill"))
    join = getattr(module, name + "Multiple")
    search.addStrategy(join(colour, fill, texture, size))
    search.addStrategy(join(fill, texture, size))


if __name__ == "__main__":
    main()
