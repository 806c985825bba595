"""Networks of the years around GoogLeNet, by torchvision's classes and with its files of weights, for comparison.

AlexNet (Krizhevsky, arXiv 1404.5997), VGG-16 (Simonyan and Zisserman, arXiv 1409.1556), ResNet-50 (He et al.,
arXiv 1512.03385) and Inception v3 (Szegedy et al., arXiv 1512.00567), as torchvision builds and initialises them.
The features of the first two are those of fc7, as in R-CNN and Fast R-CNN: `to_features` runs fc6 and fc7.

Differs from torchvision: no auxiliary classifier, and Inception v3's input transform is made explicit. Of none is
it known which parts int8 may have.
"""

import importlib
from typing import Any

from torch import Tensor, nn

from detector.errors import ConfigError
from detector.networks.backbones.base import Backbone, BackboneFacts, Kernel, SharedMap, Variant
from detector.networks.preprocessing import IMAGENET, TORCHVISION

FC = 4096  # features of fc6 and fc7
POOL = Kernel(3, 2)
HALF = Kernel(2, 2)  # a pool of VGG-16
STEP = Kernel(3, 2, 1)  # a strided convolution of ResNet-50, or its pool

# places in torchvision's `features`; a convolution's ReLU is the next
ALEXNET = (("conv1", 0), ("max pool", 2), ("conv2", 3), ("max pool", 5), ("conv3", 6), ("conv4", 8), ("conv5", 10))
VGG16 = tuple(
    (name, first + 2 * index)
    for first, names in (
        (0, ("conv1_1", "conv1_2", "max pool")),
        (5, ("conv2_1", "conv2_2", "max pool")),
        (10, ("conv3_1", "conv3_2", "conv3_3", "max pool")),
        (17, ("conv4_1", "conv4_2", "conv4_3", "max pool")),
        (24, ("conv5_1", "conv5_2", "conv5_3")),
    )
    for index, name in enumerate(names)
)
FULLY_CONNECTED = {"alexnet": {"fc6": 1, "fc7": 4}, "vgg16": {"fc6": 0, "fc7": 3}}  # in torchvision's `classifier`
RESNET = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
STEM = (
    "Conv2d_1a_3x3",
    "Conv2d_2a_3x3",
    "Conv2d_2b_3x3",
    "maxpool1",
    "Conv2d_3b_1x1",
    "Conv2d_4a_3x3",
    "maxpool2",
)
MIXED = tuple(f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"))
CUT = MIXED.index("Mixed_6e") + 1  # modules before Inception v3's shared map


def _with_fc(
    title: str, variant: Variant, convolutions: tuple[tuple[str, int], ...], **facts: Any
) -> BackboneFacts:
    """Facts of a network whose features are those of fc7."""
    last = convolutions[-1][1] + 2  # the pool behind the last convolution and its ReLU
    connected = FULLY_CONNECTED[variant]
    names = {f"features.{place}": f"backbone.features.{place}" for name, place in convolutions if "conv" in name}
    names |= {f"classifier.{place}": f"backbone.connected.{place}" for place in connected.values()}
    return BackboneFacts(
        title=title,
        width=FC,
        preprocessing=IMAGENET,
        layers=(
            *((name, f"features.{place}") for name, place in (*convolutions, ("max pool", last))),
            *((name, f"connected.{place}") for name, place in connected.items()),
        ),
        foreign={"torchvision": {**names, "classifier.6": "classifier"}},
        **facts,
    )


FACTS = {
    "alexnet": _with_fc(
        "AlexNet",
        "alexnet",
        ALEXNET,
        channels=256,
        shared=SharedMap("conv5", 256, (Kernel(11, 4, 2), POOL, POOL), smallest=63),
        behind=(POOL,),
        smallest=63,
    ),
    "vgg16": _with_fc(
        "VGG-16",
        "vgg16",
        VGG16,
        channels=512,
        shared=SharedMap("conv5_3", 512, (HALF, HALF, HALF, HALF)),
        behind=(HALF,),
    ),
    "resnet50": BackboneFacts(
        title="ResNet-50",
        channels=2048,
        width=2048,
        preprocessing=IMAGENET,
        shared=SharedMap("layer3", 1024, (Kernel(7, 2, 3), STEP, STEP, STEP)),
        behind=(STEP,),
        layers=(("conv1", "bn1"), ("max pool", "maxpool"), *((name, name) for name in RESNET[2:])),
        foreign={"torchvision": {**{name: f"backbone.{name}" for name in RESNET}, "fc": "classifier"}},
    ),
    "inception_v3": BackboneFacts(
        title="Inception v3",
        channels=2048,
        width=2048,
        preprocessing=TORCHVISION,
        shared=SharedMap("Mixed_6e", 768, (POOL, Kernel(3, 1), POOL, Kernel(3, 1), POOL, POOL), smallest=75),
        behind=(POOL,),
        layers=tuple(("max pool" if "pool" in name else name, name) for name in (*STEM, *MIXED)),
        smallest=75,
        crop_size=299,
        foreign={
            "torchvision": {
                **{name: f"backbone.{name}" for name in (*STEM, *MIXED)},
                "AuxLogits": "heads.AuxLogits",
                "fc": "classifier",
            }
        },
    ),
}


class ConnectedNet(Backbone):
    """AlexNet or VGG-16: convolutions and pools, then fc6 and fc7, which make features of the last map."""

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant, FACTS[variant])
        network = _torchvision_model(variant)
        self.features = network.features
        self.avgpool = network.avgpool  # to the cells of crops of 224 pixels
        self.connected = network.classifier[: FULLY_CONNECTED[variant]["fc7"] + 2]  # with fc7's ReLU

    def trunk(self, x: Tensor) -> Tensor:
        """The map of the last convolution, 16 pixels a cell."""
        for layer in self.features[:-1]:
            x = layer(x)
        return x

    def tail(self, x: Tensor) -> Tensor:
        """The last pool's map."""
        return self.features[-1](x)

    def to_features(self, last_map: Tensor) -> Tensor:
        """What fc7 makes (B, 4096) of last maps."""
        return self.connected(self.avgpool(last_map).flatten(1))

    def feature_layers(self) -> tuple[nn.Module, ...]:
        """fc6 and fc7."""
        return (self.connected,)


class ResNet50(Backbone):
    """ResNet-50: the features are the means of layer4's map."""

    def __init__(self, variant: Variant = "resnet50") -> None:
        super().__init__(variant, FACTS[variant])
        network = _torchvision_model(variant)
        for name in (*RESNET, "relu", "maxpool"):
            self.add_module(name, network.get_submodule(name))

    def trunk(self, x: Tensor) -> Tensor:
        """The map of layer3 (B, 1024, h, w), 16 pixels a cell."""
        return _run(self, ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"), x)

    def tail(self, x: Tensor) -> Tensor:
        """The map of layer4 (B, 2048, h, w)."""
        return _run(self, ("layer4",), x)


class InceptionV3(Backbone):
    """Inception v3: the features are the means of Mixed_7c's map."""

    def __init__(self, variant: Variant = "inception_v3") -> None:
        super().__init__(variant, FACTS[variant])
        network = _torchvision_model(variant, aux_logits=False, init_weights=True)
        for name in (*STEM, *MIXED):
            self.add_module(name, network.get_submodule(name))

    def trunk(self, x: Tensor) -> Tensor:
        """The map of Mixed_6e (B, 768, h, w), 16 pixels a cell."""
        return _run(self, (*STEM, *MIXED[:CUT]), x)

    def tail(self, x: Tensor) -> Tensor:
        """The map of Mixed_7c (B, 2048, h, w)."""
        return _run(self, MIXED[CUT:], x)


def make(variant: Variant) -> Backbone:
    """The network with torchvision's random weights; ConfigError where that package is missing."""
    match variant:
        case "resnet50":
            return ResNet50()
        case "inception_v3":
            return InceptionV3()
    return ConnectedNet(variant)


def _run(network: nn.Module, names: tuple[str, ...], x: Tensor) -> Tensor:
    for name in names:
        x = network.get_submodule(name)(x)
    return x


def _torchvision_model(name: str, **settings: Any) -> Any:
    """A model of torchvision's, with random weights."""
    try:
        models = importlib.import_module("torchvision.models")
    except ImportError as error:
        raise ConfigError(
            f"network.variant={name} must have the package torchvision, got '{error}';"
            " repair: pip install torchvision"
        ) from None
    return getattr(models, name)(weights=None, **settings)
