import numpy as np
import pytest
import torch
from oracles_rescoring import fitted, held_out_losses, standardised

from detector.errors import DataError
from detector.networks.context_maps import LinearRescoring, same_scores
from detector.records import Array, Float32
from detector.training.context_fit import FOLDS, RescoringRows, fit_rescoring

CLASSES, OWN, IMAGE, IMAGES = 3, 4, 5, 40
NOTHING = LinearRescoring(torch.zeros(CLASSES, OWN), torch.zeros(CLASSES, IMAGE), torch.zeros(CLASSES))
KEEP = same_scores(range(CLASSES), OWN, IMAGE)


def random_rows(seed: int, each_its_own: bool = False, helps: float = 1.0) -> RescoringRows:
    """240 regions of 40 images; an object is likelier where its score is high and, if it `helps`, by the image."""
    random = np.random.default_rng(seed)
    groups = np.sort(random.integers(0, IMAGES, 240))
    image = random.normal(2, 3, (IMAGES, IMAGE))
    own = random.normal(-1, 2, (240, CLASSES, OWN) if each_its_own else (240, OWN))
    score = own[:, :, 0] if each_its_own else own[:, :CLASSES]
    logits = score + helps * (image - 2)[groups][:, :CLASSES] - 1
    targets = np.where(random.random(logits.shape) < 1 / (1 + np.exp(-logits)), 1, -1)
    targets[random.random(targets.shape) < 0.2] = 0
    return RescoringRows(own.astype(np.float32), image.astype(np.float32), groups, targets.astype(np.int8))


def scores_of(rescoring: LinearRescoring, rows: RescoringRows) -> Float32:
    return rescoring(torch.from_numpy(rows.own), torch.from_numpy(rows.image[rows.groups])).numpy()


def columns(rows: RescoringRows, label: int) -> Array:
    """The features (M, D + K) of one class, scaled as the fit scales them."""
    own = rows.own if rows.own.ndim == 2 else rows.own[:, label]
    return np.concatenate([standardised(own), standardised(rows.image)[rows.groups]], axis=1)


@pytest.mark.parametrize("penalty", [1.0, 0.01])
@pytest.mark.parametrize("each_its_own", [False, True])
def test_the_answer_is_scikit_learns(each_its_own: bool, penalty: float) -> None:
    pytest.importorskip("sklearn")
    rows = random_rows(0, each_its_own)
    fit = fit_rescoring(rows, NOTHING, [penalty], tolerance=1e-8)
    found = scores_of(fit.linear, rows)
    assert fit.slopes.max() <= 1e-8
    for c in range(CLASSES):
        features = columns(rows, c)
        wanted = fitted(features, rows.targets[:, c], penalty).decision_function(features)
        np.testing.assert_allclose(found[:, c], wanted, atol=1e-4)


def test_each_class_gets_the_penalty_of_least_loss_on_held_out_images() -> None:
    pytest.importorskip("sklearn")
    rows, penalties = random_rows(1), [1.0, 0.1, 0.01]
    fit = fit_rescoring(rows, NOTHING, penalties, tolerance=1e-7)
    for c in range(CLASSES):
        features = columns(rows, c)
        losses = [held_out_losses(features, rows.targets[:, c], rows.groups, each, FOLDS) for each in penalties]
        assert fit.penalties[c] == penalties[int(np.argmin(losses))]
        assert fit.losses[c] == pytest.approx(min(losses), abs=1e-5)


def test_context_that_tells_something_makes_new_images_scores_better() -> None:
    fit = fit_rescoring(random_rows(2), KEEP)
    new = random_rows(3)

    def loss(scores: Array) -> float:
        return float(np.logaddexp(0, -new.targets * scores)[new.targets != 0].mean())

    assert loss(scores_of(fit.linear, new)) < loss(scores_of(KEEP, new)) - 0.1
    assert fit.learned.all()
    assert fit.slopes.max() <= 1e-5


def test_a_great_penalty_leaves_the_order_of_a_classs_scores() -> None:
    rows = random_rows(4)
    fit = fit_rescoring(rows, KEEP, [1e6])
    np.testing.assert_allclose(fit.linear.own, KEEP.own, atol=1e-5)
    np.testing.assert_allclose(fit.linear.image, 0, atol=1e-5)
    assert fit.linear.bias.abs().max() > 0.1  # which is free


def test_context_that_tells_nothing_gets_the_greatest_penalty() -> None:
    rows = random_rows(5, helps=0)
    fit = fit_rescoring(rows, KEEP, [1.0, 1e-4])
    assert fit.penalties.tolist() == [1, 1, 1]


def test_of_equal_losses_the_greatest_penalty_wins() -> None:
    rows = random_rows(6)
    blind = RescoringRows(np.ones_like(rows.own), np.ones_like(rows.image), rows.groups, rows.targets)
    assert fit_rescoring(blind, NOTHING, [0.1, 10.0, 1.0]).penalties.tolist() == [10, 10, 10]


def test_a_class_without_positives_keeps_its_scores() -> None:
    rows = random_rows(7)
    rows.targets[:, 1] = np.minimum(rows.targets[:, 1], 0)
    fit = fit_rescoring(rows, KEEP)
    assert fit.learned.tolist() == [True, False, True]
    np.testing.assert_array_equal(scores_of(fit.linear, rows)[:, 1], scores_of(KEEP, rows)[:, 1])


def test_a_class_whose_positives_are_all_of_one_image_is_learned() -> None:
    rows = random_rows(8)
    rows.targets[:, 0] = np.where(rows.groups == 3, 1, -1)
    fit = fit_rescoring(rows, KEEP)
    assert fit.learned.all()
    assert np.isfinite(fit.losses).all()
    assert np.isfinite(scores_of(fit.linear, rows)).all()


def test_no_rows_leave_everything_as_it_was() -> None:
    none = RescoringRows(
        np.empty((0, OWN), np.float32),
        np.empty((0, IMAGE), np.float32),
        np.empty(0, np.int64),
        np.empty((0, CLASSES), np.int8),
    )
    fit = fit_rescoring(none, KEEP)
    assert not fit.learned.any()
    assert all(torch.equal(a, b) for a, b in zip(fit.linear.buffers(), KEEP.buffers(), strict=True))


def test_rows_that_make_no_sense_are_errors() -> None:
    rows = random_rows(9)
    own = rows.own.copy()
    own[3, 0] = np.nan
    with pytest.raises(DataError, match=r"^features of a rescoring must be finite, got NaN or infinity$"):
        RescoringRows(own, rows.image, rows.groups, rows.targets)
    with pytest.raises(
        DataError, match=r"^rows of a rescoring must be as many in every array, got 240, 239, 240$"
    ):
        RescoringRows(rows.own, rows.image, rows.groups[1:], rows.targets)
    with pytest.raises(DataError, match=r"^groups must be rows of the 10 images, got "):
        RescoringRows(rows.own, rows.image[:10], rows.groups, rows.targets)
