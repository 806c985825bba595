"""Published weights by name: where they come from, and where they lie on this machine."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import torch.hub
from torch.hub import tqdm  # a plain count of its own where the package is absent

from detector.errors import DataError
from detector.files import write_atomically

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 18  # bytes


@dataclass(frozen=True)
class Source:
    """A published file of weights; `digest` is hexadecimal, the whole or the beginning of it.

    `converted` is a file of the same weights in another format, which is as good; it has no published digest.
    """

    file: str
    url: str
    algorithm: str
    digest: str
    converted: str = ""

    def __str__(self) -> str:
        whole = len(self.digest) == 2 * hashlib.new(self.algorithm).digest_size
        return f"{self.url} ({self.algorithm} {self.digest}{'' if whole else '...'})"


SOURCES = {
    # BVLC/caffe, models/bvlc_googlenet/readme.md: "released for unrestricted use"
    "bvlc": Source(
        "bvlc_googlenet.caffemodel",
        "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        "sha1",
        "405fc5acd08a3bb12de8ee5e23a96bec22f08204",
        converted="bvlc_googlenet.npz",
    ),
    # torchvision's GoogLeNet_Weights.IMAGENET1K_V1; the name of the file holds the beginning of its digest
    "torchvision": Source(
        "googlenet-1378be20.pth",
        "https://download.pytorch.org/models/googlenet-1378be20.pth",
        "sha256",
        "1378be20",
    ),
}


def find_weights(weights: Path, download: bool = False) -> Path:
    """The file of `weights`: a name in `SOURCES` is looked up in torch hub's cache, a path is returned as it is.

    The cache is `checkpoints` below `torch.hub.get_dir()`, which TORCH_HOME moves. A published file's digest is
    checked whenever it is asked for. Only with `download` is a missing one fetched. DataError says what to put
    where: for a missing or damaged file, a network that fails, or another file than the published one.
    """
    source = SOURCES.get(str(weights))
    if source is None:
        return weights
    path = Path(torch.hub.get_dir()) / "checkpoints" / source.file
    if path.is_file():
        _check_digest(path, source)
        return path
    if source.converted and path.with_name(source.converted).is_file():
        return path.with_name(source.converted)
    if not download:
        raise DataError(
            f"weights {weights} must be at {path}, got no such file: put {source} there or add --download"
        )
    _download(source, path)
    return path


def _check_digest(path: Path, source: Source) -> None:
    try:
        found = _digest(path, source)
    except OSError as error:
        raise DataError(f"weights must be a readable file, got {path} ({error.strerror})") from None
    if not found.startswith(source.digest):
        raise DataError(f"{path} must be {source}, got {source.algorithm} {found}: delete it and fetch it again")


def _digest(path: Path, source: Source) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, source.algorithm).hexdigest()


def _download(source: Source, path: Path) -> None:
    """Fetch `source` to `path`, which is there only when its digest is right."""
    with write_atomically(path) as temporary:
        with temporary.open("wb") as file:
            for chunk in _fetch(source, path):
                file.write(chunk)
        found = _digest(temporary, source)
        if not found.startswith(source.digest):
            raise DataError(f"download must be {source}, got {source.algorithm} {found}: put the file at {path}")


def _fetch(source: Source, path: Path) -> Iterator[bytes]:
    """The content of `source` in pieces, with a progress bar; DataError where the network fails."""
    try:
        with urlopen(source.url, timeout=TIMEOUT) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            with tqdm(desc=source.file, total=total, unit="B", unit_scale=True) as progress:
                while chunk := response.read(CHUNK):
                    yield chunk
                    progress.update(len(chunk))
    except (OSError, HTTPException) as error:
        cause = error.reason if type(error) is URLError else error
        reason = " ".join(str(cause).split()) or type(error).__name__
        raise DataError(f"{source} must be reachable, got {reason}: put the file at {path}") from None
