"""A browser without a window, where one is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WORDS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
)
CONSOLE = re.compile(r"CONSOLE[^\n]*")


def shown_by_browser(page: Path, profile: Path, address: str = "", *words: str) -> str:
    """The document of a page once its scripts have run; the test is skipped where there is no browser.

    Anything said on the browser's console fails it. `profile` is an empty folder, `address` follows the file's.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    command = [found, *WORDS, *words, f"--user-data-dir={profile}", "--dump-dom", f"{page.as_uri()}{address}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert CONSOLE.findall(done.stderr) == []
    return done.stdout
