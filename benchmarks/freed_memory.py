"""Training steps on a CPU with and without glibc giving freed memory back to the system, in turn.

python benchmarks/freed_memory.py [--rounds 2] [--steps 7] [--batch 64] [--crop 224]

Each measurement is a process of its own: forward, backward and update of GoogLeNet in bf16 autocast.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from torch.nn import functional

from detector.commands import keep_freed_memory
from detector.networks.backbones import make_backbone
from detector.networks.region_classifier import RegionClassifier


def main() -> None:
    """Print a Markdown table, a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--one", choices=("given back", "kept"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(measure(options.one == "kept", options.steps, options.batch, options.crop))
        return
    columns = ["freed memory is", "median step, s", "user, s", "system, s", "page faults", "memory, GB"]
    sys.stdout.write(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n")
    sizes = ["--steps", str(options.steps), "--batch", str(options.batch), "--crop", str(options.crop)]
    for _ in range(options.rounds):
        for name in ("given back", "kept"):
            sys.stdout.flush()
            sys.stdout.flush()
            subprocess.run([sys.executable, __file__, *sizes, "--one", name], check=True)


def measure(keeps: bool, steps: int, batch: int, crop: int) -> str:
    """The line of one measurement."""
    if keeps:
        keep_freed_memory()
    torch.manual_seed(0)
    network = RegionClassifier(make_backbone("paper"), 4).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9)
    crops = torch.randn(batch, 3, crop, crop).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 4, (batch,))
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(network(crops), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    used = resource.getrusage(resource.RUSAGE_SELF)
    numbers = [f"{np.median(seconds):.2f}", f"{used.ru_utime:.1f}", f"{used.ru_stime:.1f}"]
    numbers += [f"{used.ru_minflt:,}", f"{used.ru_maxrss / 1e6:.1f}"]
    return f"| {'kept' if keeps else 'given back'} | {' | '.join(numbers)} |\n"


if __name__ == "__main__":
    main()
