import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.training.batch import RegionBatch
from detector.training.image_batches import ImageBatch
from detector.training.objectives import ImageObjective, RegionObjective

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
LABELS = torch.tensor([0, 0, 2, 2])


class Fixed(nn.Module):
    """Answers with the given logits."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, crops: Tensor) -> Tensor:
        return self.logits


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_region_loss_is_cross_entropy_and_accuracies_are_told_apart(smoothing: float) -> None:
    loss, metrics = RegionObjective(smoothing)(Fixed(LOGITS), RegionBatch(0, torch.empty(4), LABELS))
    wanted = functional.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(loss, wanted)
    assert {key: value.item() for key, value in metrics.items()} == {
        "object_accuracy": 0.5,
        "background_accuracy": 0.5,
    }


def test_the_accuracy_of_regions_that_are_not_there_is_not_a_number() -> None:
    labels = torch.tensor([1, 1, 2, 2])
    _, metrics = RegionObjective()(Fixed(LOGITS), RegionBatch(0, torch.empty(4), labels))
    assert metrics["background_accuracy"].isnan()
    assert metrics["object_accuracy"] == (LOGITS.argmax(1) == labels).float().mean()


def test_auxiliary_losses_are_added_with_their_weight() -> None:
    heads = torch.stack([LOGITS, -LOGITS, LOGITS * 2])
    loss, metrics = ImageObjective(auxiliary=0.3)(Fixed(heads), ImageBatch(0, torch.empty(4), LABELS))
    main, first, second = (functional.cross_entropy(logits, LABELS) for logits in heads)
    torch.testing.assert_close(loss, main + 0.3 * first + 0.3 * second)
    torch.testing.assert_close(metrics["main_loss"], main)
    assert metrics["top1"].item() == 0.5


def test_without_heads_the_loss_is_the_classifier_s() -> None:
    loss, _ = ImageObjective()(Fixed(LOGITS), ImageBatch(0, torch.empty(4), LABELS))
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, LABELS))
