"""Count a network's layers as Table 1 of the GoogLeNet paper does, for GoogLeNet beside the paper's figures."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from detector.choices import BACKBONES
from detector.commands.options import Parser, a_name, a_path, whole_number
from detector.config.limits import CLASSES, CROP
from detector.files import write_text
from detector.networks.backbones import backbone_facts
from detector.networks.layer_table import describe, total
from detector.networks.printed_table import describe_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of a variant, and write its rows as JSON where asked."""
    options = _parse(arguments)
    size = options.size or backbone_facts(options.variant).crop_size
    network = (options.variant, size, options.classes)
    if options.json:
        rows = describe(*network)
        content = {
            "variant": options.variant,
            "size": size,
            "classes": options.classes,
            "layers": [asdict(row) for row in rows],
            "total": asdict(total(rows)),
        }
        write_text(options.json, json.dumps(content, indent=2) + "\n")
    sys.stdout.write(describe_text(*network))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="describe", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("variant", type=a_name, help=f"one of {', '.join(BACKBONES)}")
    size = "height and width of the input, pixels; by default as published, 224 for most"
    parser.add_argument("--size", type=whole_number(1, CROP), help=size)
    parser.add_argument("--classes", type=whole_number(1, CLASSES), default=1000, help="outputs of the classifier")
    parser.add_argument("--json", type=a_path, help="file to write the rows to")
    return parser.parse_args(arguments)
