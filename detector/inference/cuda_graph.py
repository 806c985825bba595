"""A forward pass as a CUDA graph: its kernels are launched as one, which takes the host as long as one does."""

from collections.abc import Callable

import torch
from torch import Tensor

Forward = Callable[[Tensor], dict[str, Tensor]]

WARM_UPS = 3  # passes before a graph is captured, as torch's manual has it


class GraphForward:
    """`forward` on batches of one shape, captured with the first of them."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.replay: Forward | None = None

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:
        """The answers to a batch."""
        if self.replay is None:
            self.replay = _captured(self.forward, batch)
        return self.replay(batch)


def _captured(forward: Forward, example: Tensor) -> Forward:
    """`forward` on batches of the shape of `example`, on the device of that, be it the current one or not."""
    given = example.clone()
    computing = torch.cuda.current_stream(example.device)
    side = torch.cuda.Stream(example.device)
    side.wait_stream(computing)
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            forward(given)
    computing.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # by default the stream would be one of the current device; other threads may use the device meanwhile
    with torch.cuda.stream(side), torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        answers = forward(given)

    def replay(batch: Tensor) -> dict[str, Tensor]:
        given.copy_(batch)
        graph.replay()
        # copies: the next pass writes to the same memory, perhaps before these have come to the host
        return {name: answer.clone() for name, answer in answers.items()}

    return replay
