"""Decoding by OpenCV, whose many readers see only what has been told to be of one of our formats."""

import os

import cv2
import numpy as np

from detector.records import Array, Image

if "OPENCV_LOG_LEVEL" not in os.environ:  # its remarks name no file; what is wrong with one, our errors tell
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_by_opencv(content: bytes) -> Image | None:
    """The pixels (H, W, 3) uint8 RGB, of 16 bits the upper half; None for what it cannot decode."""
    image = _decoded(content, cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def decode_under_alpha(content: bytes) -> Image | None:
    """The colours (H, W, 3) uint8 RGB as they are stored, the upper half, of 16 bits with alpha; None for others.

    What OpenCV makes of a TIFF otherwise is multiplied by the alpha.
    """
    image = _decoded(content, cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.shape[2:] != (4,):
        return None
    return np.ascontiguousarray(image[:, :, 2::-1] >> 8).astype(np.uint8)


def _decoded(content: bytes, flags: int) -> Array | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # nothing in it, or more pixels than it takes
        return None
