"""Pictures inside a page, as addresses of their own content."""

import base64

import cv2

from detector.data.images import resize_image
from detector.records import Array, Image

JPEG_QUALITY = 85


def jpeg_uri(image: Image, quality: int = JPEG_QUALITY) -> str:
    """`image` (H, W, 3) RGB as the address of a JPEG."""
    return _data_uri(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), "jpeg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def png_uri(pixels: Array) -> str:
    """Pixels (H, W, 3) BGR or (H, W, 4) BGRA, uint8, as the address of a PNG."""
    return _data_uri(pixels, "png", [cv2.IMWRITE_PNG_COMPRESSION, 9])


def shrunk(image: Image, longest: int) -> Image:
    """`image` with no side over `longest` pixels, aspect kept."""
    height, width = image.shape[:2]
    scale = min(1.0, longest / max(height, width))
    return resize_image(image, max(1, round(height * scale)), max(1, round(width * scale)))


def _data_uri(pixels: Array, kind: str, options: list[int]) -> str:
    _, content = cv2.imencode(f".{kind}", pixels, options)
    return f"data:image/{kind};base64," + base64.b64encode(content.tobytes()).decode("ascii")
