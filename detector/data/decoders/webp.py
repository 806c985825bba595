"""WebP: what its header tells (RFC 9649)."""

SIDE = 0x3FFF  # 14 bits


def webp_size(content: bytes) -> tuple[int, int]:
    """The (height, width) that the header states; ValueError for a header of no kind that is known."""
    kind, data = content[12:16], content[20:30]
    if len(data) == 10:
        if kind == b"VP8X":  # with more than a picture
            return 1 + int.from_bytes(data[7:10], "little"), 1 + int.from_bytes(data[4:7], "little")
        if kind == b"VP8L":  # without loss
            sides = int.from_bytes(data[1:5], "little")
            return 1 + (sides >> 14 & SIDE), 1 + (sides & SIDE)
        if kind == b"VP8 ":
            return int.from_bytes(data[8:10], "little") & SIDE, int.from_bytes(data[6:8], "little") & SIDE
    raise ValueError("it begins without a header")


def webp_length(content: bytes) -> int:
    """How many bytes the file must have."""
    return 8 + int.from_bytes(content[4:8], "little")
