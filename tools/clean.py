"""`python tools/clean.py ...` is `detector clean ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("clean"))
