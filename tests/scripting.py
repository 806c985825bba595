"""TorchScript in a process that has done other things with torch before."""

import warnings

import torch
from torch import nn


def script(network: nn.Module) -> torch.jit.ScriptModule:
    """`torch.jit.script`, without its advice to use something else."""
    forget_dead_functions()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(network)


def forget_dead_functions() -> None:
    """Make TorchScript forget functions that are no more.

    It knows torch's functions by their addresses. Some of torch.ao's are made anew while it is imported, and what
    comes to lie where one was is taken for it: in such a process one script of fifteen fails.
    """
    table = torch.jit._builtins._get_builtin_table()
    for address, name in list(table.items()):
        space, _, function = name.partition("::")
        packet = getattr(getattr(torch.ops, space), function, None) if space not in ("aten", "prim") else None
        if packet is not None and id(packet._op) != address:
            del table[address]
