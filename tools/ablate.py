"""`python tools/ablate.py ...` is `detector ablate ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("ablate"))
