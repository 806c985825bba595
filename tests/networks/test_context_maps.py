import torch

from detector.networks.context_maps import LinearRescoring, same_scores


def test_one_class_of_two_own_features_and_one_of_the_image() -> None:
    rescoring = LinearRescoring(torch.tensor([[2.0, 3.0]]), torch.tensor([[10.0]]), torch.tensor([100.0]))
    own, image = torch.tensor([[1.0, 1.0], [0.0, 2.0]]), torch.tensor([0.5])
    assert rescoring(own, image).tolist() == [[110], [111]]
    assert rescoring(own, torch.tensor([[0.5], [0.0]])).tolist() == [[110], [106]]  # of two images


def test_each_class_can_have_its_own_features() -> None:
    rescoring = LinearRescoring(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 0), torch.tensor([0.0, 1.0]))
    own = torch.tensor([[[3.0], [4.0]], [[5.0], [6.0]]])
    assert rescoring(own, torch.empty(0)).tolist() == [[3, 9], [5, 13]]


def test_a_rescoring_can_leave_each_class_at_a_feature_of_its_own() -> None:
    own = torch.tensor([[1.0, 2.0, 3.0]])
    assert same_scores([1, 2], own=3, image=4)(own, torch.ones(4)).tolist() == [[2, 3]]


def test_the_state_is_three_tensors() -> None:
    first = LinearRescoring(torch.randn(3, 5), torch.randn(3, 2), torch.randn(3))
    state = first.state_dict()
    assert set(state) == {"own", "image", "bias"}
    own, image = torch.randn(4, 5), torch.randn(2)
    assert torch.equal(LinearRescoring(**state)(own, image), first(own, image))
