"""`python tools/eval_cls.py ...` is `detector eval_cls ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("eval_cls"))
