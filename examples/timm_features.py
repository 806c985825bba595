"""The maps of GoogLeNet for one image, through timm, which also prepares the image.

python examples/timm_features.py photo.jpg --weights bvlc_googlenet.npz
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import timm
import torch
from torch import Tensor

import detector.networks.adapters.timm_models  # noqa: F401 (makes the models known to timm)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Pillow has others, which run PostScript


def main(words: Sequence[str] | None = None) -> list[Tensor]:
    """Print what the maps are; return them, (1, C, h, w) each."""
    arguments = parse(words)
    model: Any = timm.create_model(
        "googlenet_paper",
        features_only=True,
        out_indices=arguments.maps,
        pretrained=arguments.weights is not None,
        pretrained_cfg_overlay={"file": str(arguments.weights)},
    ).eval()
    prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with PIL.Image.open(arguments.image, formats=FORMATS) as image:
        prepared = prepare(image.convert("RGB"))
    with torch.inference_mode():
        maps = model(prepared[None])
    for name, stride, found in zip(
        model.feature_info.module_name(), model.feature_info.reduction(), maps, strict=True
    ):
        shape = " x ".join(str(side) for side in found.shape[1:])
        sys.stdout.write(f"{name}: stride {stride}, {shape}, mean {found.mean():.3f}\n")
    return maps


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--weights", type=Path, help="file of GoogLeNet weights; without, they are random")
    parser.add_argument("--maps", type=int, nargs="+", default=[1, 2, 3, 4], help="indices, 0 to 4")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
