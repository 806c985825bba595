"""`python tools/demo.py ...` is `detector demo ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("demo"))
