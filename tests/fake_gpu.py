"""A GPU that is not there: its tensors have no memory, its streams note their order, its host must not wait.

What a program asks of a GPU runs on torch's fake tensors; what it does on the CPU is done. `FakeGpu` counts the
operators that would start work, and raises `HostWaits` for what would let the host wait for the device: a number
read from it, a result whose size depends on data, a copy that is not from and to pinned memory. It raises
`Disorder` where a stream takes what another one, or the host what a stream, may not have finished.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from detector.networks import transfers

GPU = torch.device("cuda")
WAITING = ("aten._local_scalar_dense", "aten.nonzero", "aten._unique2", "aten.masked_select", "aten.equal")
FREE = ("aten.empty", "aten.new_empty", "aten.detach", "aten.lift_fresh", "aten.set_", "prim.", "aten.alias")
IN_PLACE = ("aten._fused_sgd_", "aten._fused_adamw_")
COMPOSITE = "CompositeImplicitAutograd"
COPIES = ("aten._to_copy", "aten.copy_")

Clock = Counter["FakeStream"]  # how far each stream is known to be


class HostWaits(AssertionError):
    """The host would wait for the device."""


class Disorder(AssertionError):
    """Something would be read before it is there."""


class FakeEvent:
    """What a stream had done when the event was recorded."""

    def __init__(self, gpu: "FakeGpu", clock: Clock) -> None:
        self.gpu, self.clock = gpu, clock

    def synchronize(self) -> None:
        self.gpu.host |= self.clock
        self.gpu.notes.append("wait")


class FakeStream:
    """A stream: how far itself is, and how far it knows the others to be."""

    def __init__(self, gpu: "FakeGpu", name: str, device: int = 0) -> None:
        self.gpu, self.name, self.device = gpu, name, device
        self.clock: Clock = Counter()

    def wait_stream(self, other: "FakeStream") -> None:
        self.clock |= other.clock

    def wait_event(self, event: FakeEvent) -> None:
        self.clock |= event.clock

    def record_event(self) -> FakeEvent:
        self.gpu.notes.append("batch")
        return FakeEvent(self.gpu, Counter(self.clock))


class FakeGraph:
    """Work that is launched as one: what is written while it is captured is written by each replay."""

    def __init__(self, gpu: "FakeGpu") -> None:
        self.gpu = gpu
        self.writes: list[StorageWeakRef] = []

    @contextmanager
    def capture(self, stream: FakeStream | None = None, **how: Any) -> Iterator[None]:
        """On `stream`, by default one of the first device, on which all is done that was begun."""
        gpu = self.gpu
        before, gpu.current = gpu.current, stream or FakeStream(gpu, "capture")
        gpu.current.clock |= before.clock
        launches, written, gpu.written = Counter(gpu.launches), gpu.written, dict(gpu.written)
        gpu.is_capturing = True
        yield
        gpu.is_capturing = False
        self.writes = [storage for storage in gpu.written if gpu.written[storage] != written.get(storage)]
        gpu.launches, gpu.written, gpu.current = launches, written, before

    def replay(self) -> None:
        gpu, stream = self.gpu, self.gpu.current
        gpu.launches["graph"] += 1
        stream.clock[stream] += 1
        gpu.written |= dict.fromkeys(self.writes, (stream, stream.clock[stream]))


class FakeGpu(TorchDispatchMode):
    """Counts what would be launched; `notes` are copies, waits and what a test adds, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.computing = FakeStream(self, "compute")
        self.current = self.computing
        self.host: Clock = Counter()
        self.written: dict[StorageWeakRef, tuple[FakeStream, int]] = {}
        self.pinned: set[StorageWeakRef] = set()
        self.launches: Counter[str] = Counter()
        self.notes: list[str] = []
        self.is_strict = False
        self.is_capturing = False

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """The launches within; the host must not wait there."""
        self.launches.clear()
        self.is_strict = True
        try:
            yield self.launches
        finally:
            self.is_strict = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "aten" and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE):
            with self:  # in inference mode operators come before they are taken apart
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        on_gpu = [each for each in given if isinstance(each, FakeTensor)]
        wanted = torch.device(kwargs.get("device") or "cpu")
        if not on_gpu and wanted.type != GPU.type:
            self._check_host(given)
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        name = str(func)
        self._check_waits(name, args, kwargs, given, wanted)
        # by the mode below, which knows no fused optimisers: they write to what they are given
        try:
            out = None if name.startswith(IN_PLACE) else func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            raise HostWaits(f"{name}: its result depends on data") from None
        if not name.startswith(FREE) and not func.is_view:
            self._launch(name, on_gpu, out)
        return tree_map(partial(self._on_host, is_later=kwargs.get("non_blocking", False)), out)

    def checked(self, read: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        """`read` of tensors on the host, as operators on them are checked."""

        def checked_read(tensor: Tensor) -> Any:
            self._check_host([tensor])
            return read(tensor)

        return checked_read

    def _check_waits(self, name: str, args: Any, kwargs: Any, given: list[Tensor], wanted: torch.device) -> None:
        sides = {isinstance(each, FakeTensor) for each in given if each.ndim or name.startswith(COPIES)}
        if name.startswith("aten._to_copy") and "device" in kwargs:
            sides.add(wanted.type == GPU.type)
        if len(sides) > 1 and name.startswith(COPIES):
            asked = kwargs.get("non_blocking", False) or (
                name.startswith("aten.copy_") and len(args) > 2 and args[2]
            )
            source = args[1] if name.startswith("aten.copy_") else args[0]
            is_up = not isinstance(source, FakeTensor)
            self.notes.append("up" if is_up else "down")
            is_pinned = not is_up or StorageWeakRef(source.untyped_storage()) in self.pinned
            if self.is_strict and not (asked and is_pinned):
                raise HostWaits(f"{name}: a copy that waits, of {tuple(source.shape)}")
        elif len(sides) > 1:
            raise AssertionError(f"{name} takes tensors of both sides")
        if self.is_strict and name.startswith(WAITING):
            raise HostWaits(f"{name}: the host reads it")

    def _launch(self, name: str, given: list[FakeTensor], out: Any) -> None:
        self.launches[name] += 1
        stream = self.current
        for each in given:
            if self.is_capturing and each.device.index != stream.device:
                raise Disorder(f"{name} on {each.device} is not captured: {stream.name} is of another device")
            writer, step = self.written.get(StorageWeakRef(each.untyped_storage()), (stream, 0))
            if stream.clock[writer] < step:
                raise Disorder(f"{name} on {stream.name} reads what {writer.name} may not have written")
        stream.clock[stream] += 1
        for each in tree_leaves(out):
            if isinstance(each, FakeTensor):
                self.written[StorageWeakRef(each.untyped_storage())] = stream, stream.clock[stream]

    def _on_host(self, value: Any, is_later: bool) -> Any:
        """A result on the host is one: zeros, which are there when the stream is known to have come so far."""
        if not (isinstance(value, FakeTensor) and value.device.type == "cpu"):
            return value
        with unset_fake_temporarily():
            found = torch.zeros(value.shape, dtype=value.dtype)
        self.written[StorageWeakRef(found.untyped_storage())] = self.current, self.current.clock[self.current]
        if not is_later:
            self.host |= self.current.clock
        return found

    def _check_host(self, given: list[Tensor]) -> None:
        for each in given:
            writer, step = self.written.get(StorageWeakRef(each.untyped_storage()), (self.computing, 0))
            if self.host[writer] < step:
                raise Disorder("the host reads what has not arrived")


def _apply_anew(module: nn.Module, fn: Any, recurse: bool = True) -> nn.Module:
    """As `nn.Module._apply`, which cannot exchange fake tensors: what changes becomes a new parameter."""
    for child in module.children():
        _apply_anew(child, fn)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            held = parameter.detach()
            moved = fn(held)
            if moved is not held:
                module._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = fn(buffer)
    return module


@torch.no_grad()
def _backward(loss: Tensor) -> None:
    """As `Tensor.backward`, whose engine asks the driver for streams: the same functions, called one by one."""
    seeds: defaultdict[Any, dict[int, Tensor]] = defaultdict(dict)  # the gradients that arrived at a node so far
    seeds[loss.grad_fn][0] = torch.ones_like(loss)
    for node in _in_order(loss.grad_fn):
        given = seeds.pop(node, {})
        if hasattr(node, "variable"):
            parameter = node.variable
            parameter.grad = given[0] if parameter.grad is None else parameter.grad + given[0]
            continue
        found = node(*(given.get(place) for place in range(len(node._input_metadata))))
        found = found if isinstance(found, tuple) else (found,)
        for (after, place), gradient in zip(node.next_functions, found, strict=True):
            if after is not None and gradient is not None:
                wanted = after._input_metadata[place]
                gradient = gradient.sum_to_size(wanted.shape).to(wanted.dtype)
                held = seeds[after].get(place)
                seeds[after][place] = gradient if held is None else held + gradient


def _in_order(root: Any) -> list[Any]:
    """The nodes below `root`, each behind all that lead to it."""
    done: list[Any] = []
    seen, stack = set(), [(root, False)]
    while stack:
        node, is_left = stack.pop()
        if is_left:
            done.append(node)
        elif node not in seen:
            seen.add(node)
            stack += [(node, True), *((after, False) for after, _ in node.next_functions if after is not None)]
    return done[::-1]


def pinned(value: Any) -> Any:
    """A tensor in pinned memory, as a loader sends it; anything else as it is."""
    return value.pin_memory() if isinstance(value, Tensor) else value


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """torch as if it had a GPU, within."""
    gpu = FakeGpu()
    names = iter(("up", "down", "side"))

    def make_stream(device: torch.device) -> FakeStream:
        return FakeStream(gpu, next(names), device.index or 0)

    @contextmanager
    def stream(chosen: FakeStream) -> Iterator[None]:
        before, gpu.current = gpu.current, chosen
        yield
        gpu.current = before

    def pin(tensor: Tensor) -> Tensor:
        found = tensor.clone()
        gpu.pinned.add(StorageWeakRef(found.untyped_storage()))
        return found

    caches = (transfers._transfers_of, transfers.constant)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # copying one does
        patch.setattr(torch.cuda, "Stream", make_stream)
        patch.setattr(torch.cuda, "stream", stream)
        patch.setattr(torch.cuda, "CUDAGraph", lambda: FakeGraph(gpu))
        patch.setattr(torch.cuda, "graph", FakeGraph.capture)
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "current_stream", lambda device=None: gpu.current)
        patch.setattr(Tensor, "pin_memory", pin)
        patch.setattr(Tensor, "is_pinned", lambda tensor: StorageWeakRef(tensor.untyped_storage()) in gpu.pinned)
        patch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
        patch.setattr(Tensor, "backward", _backward)
        for name in ("tolist", "numpy"):  # which read a CPU's memory without an operator
            patch.setattr(Tensor, name, gpu.checked(getattr(Tensor, name)))
        patch.setattr(nn.Module, "_apply", _apply_anew)
        for cache in caches:
            cache.cache_clear()
        try:
            with FakeTensorMode(allow_non_fake_inputs=True), gpu:
                yield gpu
        finally:
            for cache in caches:
                cache.cache_clear()
