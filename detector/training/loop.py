"""The training loop: gradient descent by an objective, resumable at any step, on one process or many."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from detector.config import TrainingSettings
from detector.errors import DataError
from detector.networks.transfers import Arrival, transfers_of
from detector.networks.weight_files.states import not_finite
from detector.text import shown
from detector.training.averaging import WeightAverage
from detector.training.schedule import Schedule

SEEDS = 2**64  # that torch knows

Net = TypeVar("Net", bound=nn.Module)


class StepBatch(Protocol):
    """A batch that knows its step."""

    @property
    def step(self) -> int:
        """The number of the step, from 0."""


Batch = TypeVar("Batch", bound=StepBatch)


@dataclass(frozen=True)
class StepResult:
    """What one step did: its loss and learning rate, and the numbers its objective adds."""

    step: int
    loss: float
    learning_rate: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class DoneStep:
    """A step that the device was given; its numbers come back while later steps are computed."""

    step: int
    learning_rate: float
    names: tuple[str, ...]  # of the numbers, the loss first
    numbers: Arrival
    base_rate: float

    def read(self) -> StepResult:
        """What it did, once it is done; DivergedError for a loss that is not finite."""
        loss, *metrics = self.numbers.wait()["numbers"].tolist()
        if not math.isfinite(loss):
            rate = f"learning_rate is {self.base_rate:g}"
            cause = rate if self.step else "of the data and the weights that it starts from"
            raise DivergedError(f"loss must be finite, got {loss} at step {self.step} ({cause})")
        return StepResult(self.step, loss, self.learning_rate, dict(zip(self.names[1:], metrics, strict=True)))


class DivergedError(DataError):
    """Training by these settings has led to numbers that are not finite."""


class Trainer(Generic[Net, Batch]):
    """Network, optimiser and averaged weights; `step` is the number of steps done.

    `groups` are the optimiser's parameters, as `parameter_groups` makes them. In a process group every process
    trains on its share of each batch, and gradients and numbers are the means over all.

    A GPU is never waited for within a step: whether its loss was finite is read when later steps have begun.
    """

    def __init__(
        self,
        network: Net,
        objective: Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]],
        settings: TrainingSettings,
        schedule: Schedule,
        groups: list[dict[str, Any]],
        seed: int,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.objective = objective
        self.settings = settings
        self.schedule = schedule
        self.seed = seed
        self.device = device
        self.precision = precision
        self.step = 0
        self.transfers = transfers_of(device)
        self.unread: deque[DoneStep] = deque()
        self.optimizer = _make_optimizer(groups, settings, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self.average = None if settings.average == "none" else WeightAverage(self.network, settings)
        self.is_distributed = distributed.is_initialized()
        self.parallel: nn.Module = DistributedDataParallel(self.network) if self.is_distributed else self.network

    def train(self, batches: Iterable[Batch]) -> Iterator[DoneStep]:
        """One step a batch; the batches must begin at `self.step`.

        DivergedError for a loss that is not finite: on a GPU up to `Transfers.ahead` steps later, but before a
        `state` is given or the last step is over.
        """
        for batch in batches:
            done = self._train_step(batch)
            self.step += 1
            self.unread.append(done)
            self._read_all_but(self.transfers.ahead)
            yield done
        self._read_all_but(0)

    def tested_network(self) -> Net:
        """The network whose weights are tested: the averaged ones where there are any."""
        if self.average is None or not self.average.count:
            return self.network
        return cast(Net, self.average.model.module)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as plain values and tensors; DivergedError as for `check`."""
        self.check()
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.model.state_dict(),
        }

    def check(self) -> None:
        """Raise DivergedError where a loss, weights or their averages are not finite.

        Of weights the loss tells it a step later.
        """
        self._read_all_but(0)
        wrong = not_finite(self.network.state_dict()) or not_finite(self.tested_network().state_dict())
        if wrong is not None:
            settings = self.settings
            raise DivergedError(
                f"weights must stay finite, got NaN or infinity in {wrong} after step {self.step}"
                f" (learning_rate is {settings.learning_rate:g}, weight_decay {settings.weight_decay:g}:"
                " lower ones may keep them)"
            )

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` returned.

        AttributeError, KeyError, TypeError, ValueError or RuntimeError for what is no state of this training.
        """
        step = state["step"]
        if type(step) is not int or not 0 <= step <= self.schedule.steps:
            raise ValueError(f"its step is {shown(step)}, of {self.schedule.steps}")
        self.step = step
        self.network.load_state_dict(state["network"])
        _load_optimizer(self.optimizer, state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.model.load_state_dict(state["average"])

    def _train_step(self, batch: Batch) -> DoneStep:
        self._seed(batch.step)
        rate = self.settings.learning_rate
        factor = self.schedule.factor(batch.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_rate"] * factor
        mixed = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision if mixed else torch.bfloat16, enabled=mixed):
            loss, metrics = self.objective(self.parallel, batch)
        values = {"loss": loss, **metrics}
        numbers = self.transfers.fetch({"numbers": self._means(values)})
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._update_average(batch.step)
        return DoneStep(batch.step, rate * factor, tuple(values), numbers, rate)

    def _read_all_but(self, steps: int) -> None:
        """Look at the losses of all steps but the last so many; DivergedError for one that is not finite."""
        while len(self.unread) > steps:
            self.unread.popleft().read()

    def _seed(self, step: int) -> None:
        """Dropout draws from the global generator: seeded by step, so that a resumed run draws the same."""
        rank = distributed.get_rank() if self.is_distributed else 0
        torch.manual_seed(((self.seed * 1_000_003 + step) * 1_009 + rank) % SEEDS)

    def _means(self, values: dict[str, Tensor]) -> Tensor:
        """The values (V,), on the device; in a process group their means, so that every process sees the same."""
        stacked = torch.stack([value.detach().float() for value in values.values()])
        if self.is_distributed:
            distributed.all_reduce(stacked)
            stacked /= distributed.get_world_size()
        return stacked

    def _update_average(self, step: int) -> None:
        if self.average is None:
            return
        if self.settings.average == "ema" or step >= self.settings.average_start * self.schedule.steps:
            self.average.update(self.network)


def _make_optimizer(
    groups: list[dict[str, Any]], settings: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    """On a GPU one kernel changes the parameters of a group, and reads what a scaler found itself."""
    fused = True if device.type == "cuda" else None
    match settings.optimizer:
        case "sgd":
            sgd = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, fused=fused)
            _begin_momenta(sgd)
            return sgd
        case "adamw":
            return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=fused)


def _begin_momenta(optimizer: torch.optim.Optimizer) -> None:
    """Let fused SGD begin at zeros where nothing was gathered yet: the first step is the same.

    By itself it begins with what the memory holds, and stays so where a scaler skips the first step.
    """
    if not (
        isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["fused"] and optimizer.defaults["momentum"]
    ):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what an optimiser has gathered; its rates and decays stay those of the settings."""
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    fused = optimizer.defaults["fused"]  # which says on what device an optimiser counts its steps
    groups = [{**group, "fused": fused} for group in state["param_groups"]]
    optimizer.load_state_dict({**state, "param_groups": groups})
    _begin_momenta(optimizer)
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)
    for parameter, gathered in optimizer.state.items():
        for name, value in gathered.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                raise ValueError(f"{name} of its optimiser has the shape {tuple(value.shape)}")


def parameter_groups(
    parts: Iterable[tuple[nn.Module, float]], learning_rate: float, weight_decay: float, bias_factor: float = 1.0
) -> list[dict[str, Any]]:
    """Groups a (module, factor): at `factor` times the rate, matrices with weight decay, vectors without.

    Biases, but for those of batch norm, learn `bias_factor` times as fast as all else.
    """
    groups = []
    for part, factor in parts:
        biases = {id(module.bias) for module in part.modules() if isinstance(module, (nn.Conv2d, nn.Linear))}
        found: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in part.parameters():
            if parameter.requires_grad:
                rate = learning_rate * factor * (bias_factor if id(parameter) in biases else 1.0)
                decay = weight_decay if parameter.ndim > 1 else 0.0
                found.setdefault((rate, decay), []).append(parameter)
        order = sorted(found, key=lambda key: -key[1])
        groups += [{"params": found[key], "weight_decay": key[1], "base_rate": key[0]} for key in order]
    return groups
