"""`python tools/describe.py ...` is `detector describe ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("describe"))
