"""Published weights by name: where they come from, and where they lie on this machine.

What is fetched is taken as it was published or not at all: over https, of no more bytes than are stated, with the
whole SHA-256. A file of the same weights in another format is known by the hash of its values.
"""

import hashlib
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import torch.hub
from torch.hub import tqdm  # a plain count of its own where the package is absent

from detector.errors import DataError
from detector.files import read_bytes, write_bytes
from detector.networks.weight_files.safetensors_files import state_hash
from detector.networks.weight_files.weights import read_weights

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 18  # bytes
MOST_BYTES = 1 << 26  # of a file: GoogLeNet's have some 50 million
MANY_BYTES = 1 << 30  # of larger networks' files: VGG-16's has 553 million


@dataclass(frozen=True)
class PublishedWeights:
    """A published file of weights, the addresses that have it, and its SHA-256, hexadecimal.

    The file has no more than `most` bytes. `converted` is a file of the same weights in another format, which is
    as good where the `state_hash` of what is read from it is `values`.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str
    converted: str = ""
    values: str = ""
    most: int = MOST_BYTES

    def __str__(self) -> str:
        return f"{self.urls[0]} (sha256 {self.sha256})"


TORCHVISION = "https://download.pytorch.org/models"
# its IMAGENET1K_V1 weights; the names of the files hold the beginnings of the SHA-256, and on the whole of each
# two or more who fetched the file agree
OF_TORCHVISION = {
    "alexnet": ("alexnet-owt-7be5be79", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"),
    "vgg16": ("vgg16-397923af", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
    "resnet50": ("resnet50-0676ba61", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a"),
    "inception_v3": (
        "inception_v3_google-0cc3c7bd",
        "0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
    ),
}

SOURCES = {
    # BVLC/caffe, models/bvlc_googlenet/readme.md: "released for unrestricted use", by http and with a SHA-1;
    # SHA-256: openvinotoolkit/open_model_zoo, models/public/googlenet-v1/model.yml; `values`: of BVLC's own arrays
    "bvlc": PublishedWeights(
        "bvlc_googlenet.caffemodel",
        (
            "https://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
            "https://www.deepdetect.com/downloads/platform/pretrained/caffe/googlenet/bvlc_googlenet.caffemodel",
        ),
        "6f7101e3a2183738a7125a0c5021ba82a1feb4228c5ca0924d991b6daf6f6fad",
        "bvlc_googlenet.npz",
        "fb047788ae4c2c220232a5a854fac3f4272e5e9229a24764fe0d4045a7c15ffd",
    ),
    # torchvision's GoogLeNet_Weights.IMAGENET1K_V1; the name of the file holds the beginning of its SHA-256
    "torchvision": PublishedWeights(
        "googlenet-1378be20.pth",
        (f"{TORCHVISION}/googlenet-1378be20.pth",),
        "1378be20a8e875cf1568b8a71654e704449655e34711a959a38b04fb34905cef",
    ),
    **{
        name: PublishedWeights(f"{file}.pth", (f"{TORCHVISION}/{file}.pth",), sha256, most=MANY_BYTES)
        for name, (file, sha256) in OF_TORCHVISION.items()
    },
}


def find_weights(weights: Path, download: bool = False) -> Path:
    """The file of `weights`: a name in `SOURCES` is looked up in torch hub's cache, a path is returned as it is.

    The cache is `checkpoints` below `torch.hub.get_dir()`, which TORCH_HOME moves. A published file is checked
    whenever it is asked for. Only with `download` is a missing one fetched. DataError says what to put where: for
    a missing or damaged file, a network that fails, or another file than the published one.
    """
    source = SOURCES.get(str(weights))
    if source is None:
        return weights
    path = Path(torch.hub.get_dir()) / "checkpoints" / source.file
    converted = path.with_name(source.converted or source.file)
    if path.is_file():
        _check_bytes(path, source)
        return path
    if source.converted and converted.is_file():
        _check_values(converted, source)
        return converted
    if not download:
        raise DataError(
            f"weights {weights} must be at {path}, got no such file: put {source} there or add --download"
        )
    _download(source, path)
    return path


def _check_bytes(path: Path, source: PublishedWeights) -> None:
    found = hashlib.sha256(read_bytes(path, "weights")).hexdigest()
    if found != source.sha256:
        raise DataError(f"{path} must be {source}, got sha256 {found}: delete it and fetch it again")


def _check_values(path: Path, source: PublishedWeights) -> None:
    found = state_hash(read_weights(path).state)
    if found != source.values:
        raise DataError(
            f"{path} must hold the values of {source.file}, whose hash is {source.values}, got {found}: delete it"
        )


def _download(source: PublishedWeights, path: Path) -> None:
    """Fetch `source` to `path` from the first of its addresses that gives the published file."""
    problems = []
    for url in source.urls:
        try:
            content = _fetch(url, source)
        except _UnusableError as problem:
            problems.append(f"{problem} from {url}")
        else:
            write_bytes(path, content)
            return
    raise DataError(f"download must be {source}, got {', '.join(problems)}: put the file at {path}")


class _UnusableError(Exception):
    """Why an address does not give the file."""


def _fetch(url: str, source: PublishedWeights) -> bytes:
    """The published file, with a progress bar."""
    try:
        with build_opener(_SecureRedirects).open(url, timeout=TIMEOUT) as response:
            length = response.headers.get("Content-Length", "")
            content = _read(response, source, int(length) if length.isdecimal() else None)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        cause = error.reason if type(error) is URLError else error
        raise _UnusableError(" ".join(str(cause).split()) or type(error).__name__) from None
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise _UnusableError(f"sha256 {found}")
    return content


def _read(response: IO[bytes], source: PublishedWeights, length: int | None) -> bytes:
    content = bytearray()
    with tqdm(desc=source.file, total=length, unit="B", unit_scale=True) as progress:
        while chunk := response.read(CHUNK):
            content += chunk
            progress.update(len(chunk))
            if len(content) > source.most:
                raise _UnusableError(f"more than {source.most:,} bytes")
    return bytes(content)


class _SecureRedirects(HTTPRedirectHandler):
    """Follows redirects to https alone."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """As urllib's own, but URLError for an address that is not https."""
        if not newurl.startswith("https://"):
            fp.close()
            raise URLError(f"a redirect to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
