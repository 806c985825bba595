import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bvlc_like import write_bvlc_like

from detector.errors import DataError
from detector.networks.weight_files import sources
from detector.networks.weight_files.safetensors_files import state_hash
from detector.networks.weight_files.sources import SOURCES, PublishedWeights, find_weights
from detector.networks.weight_files.weights import read_weights

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """/whole has all of CONTENT, /short breaks off, /slow sends nothing for a while, /insecure
    leads to another address by http; all else is not there."""

    def do_GET(self) -> None:
        if self.path == "/insecure":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        if self.path not in ("/whole", "/short", "/slow"):
            self.send_error(404)
            return
        if self.path == "/slow":
            time.sleep(1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        with suppress(ConnectionError):  # of who has had enough
            self.wfile.write(CONTENT[:1000] if self.path == "/short" else CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; its folder is not there yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


def publish(monkeypatch: pytest.MonkeyPatch, *urls: str, sha256: str = SHA256, **facts: Any) -> None:
    source = PublishedWeights("net.caffemodel", urls, sha256, converted="net.npz", **facts)
    monkeypatch.setitem(SOURCES, "bvlc", source)


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def find_error(download: bool) -> str:
    """The one line that says why `bvlc` cannot be had."""
    with pytest.raises(DataError) as caught:
        find_weights(Path("bvlc"), download)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_published_files_are_those_of_their_makers() -> None:
    for source in SOURCES.values():
        assert all(url.startswith("https://") and url.endswith(source.file) for url in source.urls)
        assert re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert str(source) == f"{source.urls[0]} (sha256 {source.sha256})"
    assert SOURCES["bvlc"].urls[0] == "https://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel"
    torchvision = pytest.importorskip("torchvision.models")
    assert SOURCES["torchvision"].urls == (torchvision.GoogLeNet_Weights.IMAGENET1K_V1.url,)
    assert SOURCES["torchvision"].file == f"googlenet-{SOURCES['torchvision'].sha256[:8]}.pth"
    for name in ("alexnet", "vgg16", "resnet50", "inception_v3"):
        assert SOURCES[name].urls == (torchvision.get_model_weights(name).IMAGENET1K_V1.url,)
        assert SOURCES[name].file.endswith(f"-{SOURCES[name].sha256[:8]}.pth")


@pytest.mark.shared
def test_the_values_of_bvlc_s_weights_are_known(shared: Path, cache: Path) -> None:
    path = put(cache / "bvlc_googlenet.npz", (shared / "weights" / "bvlc_googlenet.npz").read_bytes())
    assert find_weights(Path("bvlc")) == path


@pytest.mark.parametrize("name", ["a.npz", "runs/bvlc", "bvlc.npz", "nothing", "/there/torchvision"])
def test_a_path_is_returned_as_it_is(name: str) -> None:
    assert find_weights(Path(name)) == Path(name)
    assert find_weights(Path(name), download=True) == Path(name)


def test_a_file_in_the_cache_is_found(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    publish(monkeypatch, "http://127.0.0.1:9/never-asked")
    path = put(cache / "net.caffemodel")
    put(cache / "net.npz", b"second choice")
    assert find_weights(Path("bvlc")) == path
    assert find_weights(Path("bvlc"), download=True) == path


def test_the_whole_digest_counts(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    publish(monkeypatch, "http://127.0.0.1:9/never-asked", sha256=SHA256[:-1] + "x")
    put(cache / "net.caffemodel")
    assert "delete it and fetch it again" in find_error(download=False)


def test_a_converted_file_is_as_good_where_it_has_the_same_values(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    cache.mkdir(parents=True)
    path = write_bvlc_like(cache / "net.npz")
    values = state_hash(read_weights(path).state)
    publish(monkeypatch, "http://127.0.0.1:9/never-asked", values=values)
    assert find_weights(Path("bvlc")) == path
    assert find_weights(Path("bvlc"), download=True) == path
    write_bvlc_like(path, seed=1)
    message = find_error(download=False)
    assert message.startswith(f"{path} must hold the values of net.caffemodel, whose hash is {values}, got ")
    path.write_bytes(b"any content")
    assert (
        find_error(download=False) == f"weights must be a readable .npz file, got {path} (File is not a zip file)"
    )


def test_nothing_is_fetched_unless_asked(monkeypatch: pytest.MonkeyPatch, cache: Path, server: str) -> None:
    publish(monkeypatch, f"{server}/whole")
    wanted = f"got no such file: put {server}/whole (sha256 {SHA256}) there or add --download"
    assert find_error(download=False) == f"weights bvlc must be at {cache / 'net.caffemodel'}, {wanted}"
    assert not cache.exists()


@pytest.mark.parametrize("download", [False, True])
def test_a_damaged_file_in_the_cache_is_named_and_kept(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str, download: bool
) -> None:
    publish(monkeypatch, f"{server}/whole")
    path = put(cache / "net.caffemodel", CONTENT[:-1])
    message = find_error(download)
    assert message.startswith(f"{path} must be {server}/whole (sha256 {SHA256}), got sha256 ")
    assert message.endswith("delete it and fetch it again")
    assert path.read_bytes() == CONTENT[:-1]


def test_a_download_is_kept_and_shows_its_progress(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch, f"{server}/whole")
    path = find_weights(Path("bvlc"), download=True)
    assert path == cache / "net.caffemodel"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in cache.iterdir()] == ["net.caffemodel"]
    assert "net.caffemodel: 100%" in capsys.readouterr().err
    publish(monkeypatch, "http://127.0.0.1:9/not-asked-again")
    assert find_weights(Path("bvlc"), download=True) == path


def test_a_source_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    publish(monkeypatch, put(tmp_path / "mirror" / "net").as_uri())
    assert find_weights(Path("bvlc"), download=True).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("page", "reason"), [("gone", "got HTTP Error 404: Not Found from "), ("short", "got sha256 ")]
)
def test_a_download_that_fails_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str, page: str, reason: str
) -> None:
    publish(monkeypatch, f"{server}/{page}")
    message = find_error(download=True)
    assert f"{server}/{page} (sha256 {SHA256})" in message
    assert reason in message
    assert message.endswith(f": put the file at {cache / 'net.caffemodel'}")
    assert not cache.exists()


def test_another_file_than_the_published_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str
) -> None:
    publish(monkeypatch, f"{server}/whole", sha256="0" * 64)
    wanted = f"download must be {server}/whole (sha256 {'0' * 64}), got sha256 {SHA256} from {server}/whole"
    assert find_error(download=True) == f"{wanted}: put the file at {cache / 'net.caffemodel'}"
    assert not cache.exists()


def test_a_server_that_is_silent_or_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str
) -> None:
    monkeypatch.setattr(sources, "TIMEOUT", 0.1)
    publish(monkeypatch, f"{server}/slow")
    assert f"got timed out from {server}/slow: put the file at" in find_error(download=True)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        publish(monkeypatch, f"http://127.0.0.1:{unused.getsockname()[1]}/")
        assert "got [Errno" in find_error(download=True)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str
) -> None:
    publish(monkeypatch, f"{server}/whole")
    put(cache.parent, b"a file where a folder should be")
    assert find_error(download=True).startswith(f"{cache / 'net.caffemodel'} must be writable (")


def test_the_next_address_is_asked_where_one_fails(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str
) -> None:
    publish(monkeypatch, f"{server}/gone", f"{server}/short", f"{server}/whole")
    assert find_weights(Path("bvlc"), download=True).read_bytes() == CONTENT
    publish(monkeypatch, f"{server}/gone", f"{server}/short")
    (cache / "net.caffemodel").unlink()
    assert f"got HTTP Error 404: Not Found from {server}/gone, sha256 " in find_error(download=True)


def test_no_redirect_leaves_https(monkeypatch: pytest.MonkeyPatch, cache: Path, server: str) -> None:
    publish(monkeypatch, f"{server}/insecure")
    assert f"got a redirect to {server}/whole, which is not https from" in find_error(download=True)
    assert not cache.exists()


def test_a_download_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch, cache: Path, server: str) -> None:
    publish(monkeypatch, f"{server}/whole", most=1000)
    assert f"got more than 1,000 bytes from {server}/whole" in find_error(download=True)
    assert not cache.exists()
