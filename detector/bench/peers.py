"""What others run, on the same images: one crop at a time, and torchvision's Faster R-CNN on this backbone.

The first is what public R-CNN code does: cv2 reads the image, cuts and resizes one region, the network scores it
in fp32, and so on; without context around the region, and without a choice of detections at the end. The second
makes regions of its own, 1,000 at most; its weights beside the backbone's are random, which costs the same time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from detector.bench.machine import seconds_each
from detector.bench.rounds import Candidate, Measure, Numbers, RoundOutcome, Spread, median_ratio
from detector.bench.stage_costs import engine_name, open_whole
from detector.bench.workload import Workload
from detector.config import Config
from detector.data.classes import ClassList
from detector.files import read_bytes
from detector.inference.detector import ObjectDetector
from detector.inference.proposer import open_proposer
from detector.jobs.trained_detector import detector_of_run
from detector.networks.adapters.torchvision_backbones import googlenet_fpn_backbone
from detector.networks.backbones.googlenet import DESIGNS
from detector.networks.device import choose_device
from detector.records import Float32, Image
from detector.runs.folder import RunFolder

LOOP = "cv2 and torch fp32, one crop at a time, regions given"
FASTER_RCNN = "torchvision's Faster R-CNN, fp32, regions of its own"
WHOLE_RUN = "ours, the run with all that it has, from pixels to detections"
SHORTER_SIDE, LONGEST_SIDE = 800, 1333  # pixels of an image that Faster R-CNN sees, torchvision's defaults
WHITE = 255

Score = Callable[[Image, Float32], object]  # of an image (H, W, 3) and one box (4,)


@dataclass(frozen=True)
class PeerRow:
    """Images a second, their ratio to the loop over single crops, and peak MiB."""

    name: str
    images: Spread | None
    ratio: float | None
    memory: float
    failure: str = ""


def peer_candidates(workload: Workload) -> list[Candidate]:
    """The loop over single crops, Faster R-CNN on GoogLeNet, and this project with regions given and without."""
    engine = engine_name(workload.config.engine)
    sides = _peer_sides(workload.config) if workload.config.network.variant in DESIGNS else []
    found = [
        Candidate(LOOP, partial(open_loop, workload)),
        *(
            Candidate(f"{FASTER_RCNN}, {side} pixels", partial(open_faster_rcnn, workload, side, longest))
            for side, longest in sides
        ),
        Candidate(f"ours, {engine}, regions given", partial(open_whole, workload)),
        Candidate(f"ours, {engine}, from pixels to detections", partial(open_detector, workload)),
    ]
    if workload.run is not None:
        found.append(Candidate(WHOLE_RUN, partial(open_run, workload, workload.run)))
    return found


def _peer_sides(config: Config) -> list[tuple[int, int]]:
    """The shorter side and the longest that Faster R-CNN sees: its own, and that of shared maps."""
    region, own = config.region, (SHORTER_SIDE, LONGEST_SIDE)
    ours = (region.shared_side[0], region.shared_longest)
    return [own, ours] if region.mode == "shared" and len(region.shared_side) == 1 and ours != own else [own]


def peer_rows(outcomes: Sequence[RoundOutcome]) -> tuple[PeerRow, ...]:
    """What `peer_candidates` gave."""
    return tuple(_row(outcome, outcomes[0]) for outcome in outcomes)


def open_loop(workload: Workload) -> Measure:
    """Region after region for as long as there is time: seconds an `image` of average regions."""
    score, paths = _single_crops(workload), workload.paths
    pairs = zip([_read(path) for path in paths], workload.boxes, strict=True)
    regions = cycle([(image, box) for image, boxes in pairs for box in boxes])
    device = choose_device(workload.config.engine.device)

    def measure(seconds: float) -> Numbers:
        reading = seconds_each(lambda: [_read(path) for path in paths], 0.0, device) / len(paths)
        scoring = seconds_each(lambda: score(*next(regions)), seconds, device)
        return {"image": reading + scoring * workload.mean_regions}

    return measure


def open_faster_rcnn(workload: Workload, shorter: int, longest: int) -> Measure:
    """torchvision's detector on images of that size: seconds an `image`."""
    settings, device = workload.config.network, choose_device(workload.config.engine.device)
    torch.manual_seed(workload.config.seed)
    backbone = googlenet_fpn_backbone(settings.variant, settings.weights)
    detector = FasterRCNN(backbone, num_classes=workload.outputs, min_size=shorter, max_size=longest)
    detector.eval().to(device)

    @torch.inference_mode()
    def one_pass() -> None:
        for path in workload.paths:
            rgb = np.ascontiguousarray(_read(path)[..., ::-1])
            image = torch.from_numpy(rgb).to(device).permute(2, 0, 1).float() / WHITE
            detector([image])[0]["boxes"].cpu()

    return lambda seconds: {"image": seconds_each(one_pass, seconds, device) / len(workload.paths)}


def open_detector(workload: Workload) -> Measure:
    """This project's detector as its users call it, selective search and all: seconds an `image`."""
    config = workload.config
    classes = ClassList(tuple(str(label) for label in range(1, workload.outputs)))
    proposer = open_proposer(config.proposals, config.engine, config.seed)
    workers = config.engine.workers
    detector = ObjectDetector(classes, proposer, workload.open_engine(), config.detect, workers=workers)
    return _detecting(workload, detector)


def open_run(workload: Workload, run: Path) -> Measure:
    """A run's own detector, its heads, cascade and context with it: seconds an `image`."""
    return _detecting(workload, detector_of_run(RunFolder(run), workload.words))


def _detecting(workload: Workload, detector: ObjectDetector) -> Measure:
    def one_pass() -> None:
        for _ in detector.detect_many(workload.paths):
            pass

    device = choose_device(workload.config.engine.device)
    return lambda seconds: {"image": seconds_each(one_pass, seconds, device) / len(workload.paths)}


def _single_crops(workload: Workload) -> Score:
    """Cuts, resizes and scores one region of an image in BGR."""
    device, size = choose_device(workload.config.engine.device), workload.config.region.crop_size
    network, preprocessing = workload.load_network()
    network.to(device)
    mean, scale = (np.array(each, np.float32) for each in (preprocessing.mean, preprocessing.scale))

    @torch.inference_mode()
    def score(image: Image, box: Float32) -> Tensor:
        x1, y1, x2, y2 = (int(side) for side in box)
        crop = cv2.resize(image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)], (size, size))
        ordered = crop if preprocessing.channel_order == "BGR" else crop[..., ::-1]
        given = torch.from_numpy(((ordered - mean) / scale).transpose(2, 0, 1).copy())
        return network(given[None].repeat(1, network.crops, 1, 1).to(device)).softmax(1).cpu()

    return score


def _read(path: Path) -> Image:
    """As public code does: BGR, of a file that the workload has read before."""
    content = np.frombuffer(read_bytes(path, "image"), np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def _row(outcome: RoundOutcome, loop: RoundOutcome) -> PeerRow:
    if not outcome.rounds:
        return PeerRow(outcome.name, None, None, outcome.memory, outcome.failure)
    rates = outcome.rates("image")
    ratio = median_ratio(rates, loop.rates("image")) if loop.rounds else None
    return PeerRow(outcome.name, Spread.of(rates), ratio, outcome.memory, outcome.failure)
