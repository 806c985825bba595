"""A browser without a window, where one is installed, driven by the DevTools protocol over pipes."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WORDS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
# starts a program with the two file descriptors that the protocol is spoken over
ATTACH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
for number, end in enumerate(ends, 3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
COMPLAINTS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


class Tab:
    """A page in the browser; whatever is said on its console is a complaint."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self.requests = requests
        self.answers = answers
        self.number = 0
        self.session = ""
        self.complaints: list[Any] = []
        self.events: list[str] = []

    def call(self, method: str, **parameters: Any) -> Any:
        """The answer to a command of the protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.requests.write(json.dumps(message).encode() + b"\0")
        self.requests.flush()
        while (answer := self._read()).get("id") != self.number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show a page, at a size in pixels of CSS, once its scripts say that it is ready."""
        self.session, self.events = "", []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for name in ("Runtime", "Log", "Page"):
            self.call(f"{name}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self.events:
            self._note(self._read())

    def run(self, script: str) -> Any:
        """What the body of an async function in the page returns, as JSON."""
        expression = f"(async () => {{ {script} }})()"
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse's button at a point of the window, move to another, and let go."""
        moves = [("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)]
        for kind, (x, y) in moves:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def picture(self) -> bytes:
        """The window as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _read(self) -> Any:
        content = bytearray()
        while (letter := self.answers.read(1)) != b"\0":
            assert letter, "the browser ended"
            content += letter
        return json.loads(content)

    def _note(self, event: Any) -> None:
        self.events.append(event.get("method", ""))
        if self.events[-1] in COMPLAINTS:
            self.complaints.append(event["params"])


@contextmanager
def browser_tab(profile: Path) -> Iterator[Tab]:
    """A tab of a browser of its own, with an empty folder for its profile; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    request_end, request_start = os.pipe()
    answer_end, answer_start = os.pipe()
    words = [*WORDS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    command = [sys.executable, "-c", ATTACH, str(request_end), str(answer_start), found, *words]
    with (
        subprocess.Popen(command, pass_fds=(request_end, answer_start), stderr=subprocess.DEVNULL) as process,
        os.fdopen(request_start, "wb") as requests,
        os.fdopen(answer_end, "rb") as answers,
    ):
        os.close(request_end)
        os.close(answer_start)
        tab = Tab(requests, answers)
        try:
            yield tab
        finally:
            tab.session = ""
            with suppress(OSError, AssertionError):
                tab.call("Browser.close")
            process.wait(30)
    assert tab.complaints == []
