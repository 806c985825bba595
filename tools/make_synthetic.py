"""`python tools/make_synthetic.py ...` is `detector make_synthetic ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("make_synthetic"))
