import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from detector.errors import DataError
from detector.networks import sources
from detector.networks.sources import SOURCES, Source, find_weights

CONTENT = bytes(range(256)) * 4000
SHA1 = hashlib.sha1(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """/whole has all of CONTENT, /short breaks off, /slow sends nothing for a while, all else is not there."""

    def do_GET(self) -> None:
        if self.path not in ("/whole", "/short", "/slow"):
            self.send_error(404)
            return
        if self.path == "/slow":
            time.sleep(1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
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


def publish(monkeypatch: pytest.MonkeyPatch, url: str, digest: str = SHA1) -> None:
    source = Source("net.caffemodel", url, "sha1", digest, converted="net.npz")
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
    bvlc = "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel"
    assert str(SOURCES["bvlc"]) == f"{bvlc} (sha1 405fc5acd08a3bb12de8ee5e23a96bec22f08204)"
    torchvision = pytest.importorskip("torchvision.models")
    assert SOURCES["torchvision"].url == torchvision.GoogLeNet_Weights.IMAGENET1K_V1.url
    assert SOURCES["torchvision"].url.endswith(SOURCES["torchvision"].file)
    assert str(SOURCES["torchvision"]).endswith("(sha256 1378be20...)")


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


def test_the_beginning_of_a_digest_is_enough(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    publish(monkeypatch, "http://127.0.0.1:9/never-asked", SHA1[:8])
    path = put(cache / "net.caffemodel")
    assert find_weights(Path("bvlc")) == path


def test_a_converted_file_is_as_good(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    publish(monkeypatch, "http://127.0.0.1:9/never-asked")
    path = put(cache / "net.npz", b"any content")
    assert find_weights(Path("bvlc")) == path
    assert find_weights(Path("bvlc"), download=True) == path


def test_nothing_is_fetched_unless_asked(monkeypatch: pytest.MonkeyPatch, cache: Path, server: str) -> None:
    publish(monkeypatch, f"{server}/whole")
    wanted = f"got no such file: put {server}/whole (sha1 {SHA1}) there or add --download"
    assert find_error(download=False) == f"weights bvlc must be at {cache / 'net.caffemodel'}, {wanted}"
    assert not cache.exists()


@pytest.mark.parametrize("download", [False, True])
def test_a_damaged_file_in_the_cache_is_named_and_kept(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str, download: bool
) -> None:
    publish(monkeypatch, f"{server}/whole")
    path = put(cache / "net.caffemodel", CONTENT[:-1])
    message = find_error(download)
    assert message.startswith(f"{path} must be {server}/whole (sha1 {SHA1}), got sha1 ")
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
    ("page", "reason"), [("gone", "must be reachable, got HTTP Error 404: Not Found"), ("short", "got sha1 ")]
)
def test_a_download_that_fails_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str, page: str, reason: str
) -> None:
    publish(monkeypatch, f"{server}/{page}")
    message = find_error(download=True)
    assert f"{server}/{page} (sha1 {SHA1})" in message
    assert reason in message
    assert message.endswith(f": put the file at {cache / 'net.caffemodel'}")
    assert not list(cache.iterdir())


def test_another_file_than_the_published_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str
) -> None:
    publish(monkeypatch, f"{server}/whole", "0" * 40)
    wanted = f"download must be {server}/whole (sha1 {'0' * 40}), got sha1 {SHA1}: put the file at "
    assert find_error(download=True) == wanted + str(cache / "net.caffemodel")
    assert not list(cache.iterdir())


def test_a_server_that_is_silent_or_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str
) -> None:
    monkeypatch.setattr(sources, "TIMEOUT", 0.1)
    publish(monkeypatch, f"{server}/slow")
    assert "must be reachable, got timed out: put the file at" in find_error(download=True)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        publish(monkeypatch, f"http://127.0.0.1:{unused.getsockname()[1]}/")
        assert "must be reachable, got [Errno" in find_error(download=True)
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, cache: Path, server: str
) -> None:
    publish(monkeypatch, f"{server}/whole")
    put(cache.parent, b"a file where a folder should be")
    assert find_error(download=True).startswith(f"{cache / 'net.caffemodel'} must be writable (")
