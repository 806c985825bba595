"""What others call the layers of GoogLeNet in their files of weights: their name to ours."""

from collections.abc import Iterable

CAFFE = {
    "1x1": "conv1",
    "3x3_reduce": "reduce3",
    "3x3": "conv3",
    "5x5_reduce": "reduce5",
    "5x5": "conv5",
    "pool_proj": "pool_proj",
}
TORCHVISION = {
    "branch1": "conv1",
    "branch2.0": "reduce3",
    "branch2.1": "conv3",
    "branch3.0": "reduce5",
    "branch3.1": "conv5",
    "branch4.1": "pool_proj",
}


def caffe_layers(blocks: Iterable[str]) -> dict[str, str]:
    """The names in BVLC's files; `blocks` are the Inception modules'."""
    return {
        "conv1/7x7_s2": "backbone.conv1.conv",
        "conv2/3x3_reduce": "backbone.conv2_reduce.conv",
        "conv2/3x3": "backbone.conv2.conv",
        **{
            f"inception_{block}/{theirs}": f"backbone.inception.{block}.{ours}.conv"
            for block in blocks
            for theirs, ours in CAFFE.items()
        },
        "loss3/classifier": "classifier",
        **{
            f"{loss}/{theirs}": f"heads.{place}.{ours}"
            for loss, place in {"loss1": "4a", "loss2": "4d"}.items()
            for theirs, ours in {"conv": "conv.conv", "fc": "hidden", "classifier": "classifier"}.items()
        },
    }


def torchvision_layers(blocks: Iterable[str]) -> dict[str, str]:
    """The names in torchvision's files; `blocks` are the Inception modules'."""
    parts = {
        "conv1": "backbone.conv1",
        "conv2": "backbone.conv2_reduce",
        "conv3": "backbone.conv2",
        **{
            f"inception{block}.{theirs}": f"backbone.inception.{block}.{ours}"
            for block in blocks
            for theirs, ours in TORCHVISION.items()
        },
        "aux1.conv": "heads.4a.conv",
        "aux2.conv": "heads.4d.conv",
    }
    return {
        **{
            f"{theirs}.{inner}": f"{ours}.{our_inner}"
            for theirs, ours in parts.items()
            for inner, our_inner in {"conv": "conv", "bn": "norm"}.items()
        },
        "fc": "classifier",
        **{
            f"{theirs}.{layer}": f"heads.{place}.{ours}"
            for theirs, place in {"aux1": "4a", "aux2": "4d"}.items()
            for layer, ours in {"fc1": "hidden", "fc2": "classifier"}.items()
        },
    }
