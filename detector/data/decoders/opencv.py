"""Decoding by OpenCV, whose many readers see only what has been told to be of one of our formats."""

import os

import cv2
import numpy as np

from detector.records import Image

if "OPENCV_LOG_LEVEL" not in os.environ:  # its remarks name no file; what is wrong with one, our errors tell
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_by_opencv(content: bytes) -> Image | None:
    """The pixels (H, W, 3) uint8 RGB, of 16 bits the upper half; None for what it cannot decode."""
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # nothing in it, or more pixels than it takes
        return None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
