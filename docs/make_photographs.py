"""Draw the README's photographs and the tutorial's pictures: `python docs/make_photographs.py FOLDER WEIGHTS`.

FOLDER is skimage/data of an installed scikit-image, whose photographs of a cup of coffee (Rachel Michetti) and of
Chelsea the cat (Stefan van der Walt) are in the public domain. WEIGHTS are GoogLeNet's of ImageNet's classes.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector import load_detector
from detector.config import ProposalSettings, RegionSettings
from detector.data.images import read_image
from detector.evaluation.average_precision import area_under_envelope, envelope, precision_recall
from detector.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE
from detector.files import write_atomically
from detector.inference.detector import ObjectDetector
from detector.networks.backbones.googlenet import GoogLeNet
from detector.networks.warp import crop_regions, prepare_image
from detector.networks.weight_files.weights import load_model
from detector.proposals.segmentation import Scale, pixel_graph, segment
from detector.proposals.selective_search import convert_colour, selective_search
from detector.records import Array, Float32, Image, take

IMAGES = Path(__file__).parent / "images"
HEIGHT = 240  # pixels of a row of pictures
GAP = 6
SCALES = (50, 200, 800)
STEPS = ("conv1", "conv2", "3b", "4a", "4e", "5b")
JPEG_QUALITY = 88
SEED = 0
FIRST = 40  # regions drawn
CROPS = 6
PROBABLE = 0.9
CLASSES = ("espresso", "cat")
LARGE_CROPS = ("region.crop_size=224", "region.padding=16")  # as published; the default is faster
HITS = np.array(
    [True, True, False, True, False, False, False, True, False, False]
)  # of ten detections, best first
OBJECTS = 5


def main() -> None:
    """Write docs/images/photographs.jpg and tutorial_*.jpg."""
    folder, weights = Path(sys.argv[1]), Path(sys.argv[2])
    coffee, chelsea = (read_image(folder / f"{name}.png") for name in ("coffee", "chelsea"))
    detector = load_detector(weights, *LARGE_CROPS, classes=CLASSES)
    save("photographs", row([best_of_each_class(detector, image) for image in (coffee, chelsea)]))
    save("tutorial_superpixels", superpixels_picture(coffee))
    save("tutorial_regions", regions_picture(coffee))
    save("tutorial_crops", crops_picture(coffee))
    save("tutorial_inception", inception_picture(coffee, weights))
    save("tutorial_nms", nms_picture(detector, coffee))
    save("tutorial_precision_recall", precision_recall_picture())


def best_of_each_class(detector: ObjectDetector, image: Image) -> Image:
    """The photograph with the best detection of each class that is likely there."""
    found = detector.detect(image)
    _, first = np.unique(found.labels, return_index=True)
    return detector.draw(image, take(found, np.sort(first)))


def superpixels_picture(image: Image) -> Image:
    """The photograph and its superpixels at rising scales, each in its mean colour."""
    pieces, superpixels = segment(pixel_graph(convert_colour(image, "lab"), 0.8), [Scale(k, k) for k in SCALES])
    return row([image, *(in_mean_colours(image, numbers[pieces]) for numbers in superpixels)])


def in_mean_colours(image: Image, labels: Array) -> Image:
    """`image` (H, W, 3) with each region of `labels` (H, W) in its mean colour, its outline in black."""
    counts = np.bincount(labels.ravel())
    means = [np.bincount(labels.ravel(), plane.ravel()) / counts for plane in image.transpose(2, 0, 1)]
    filled = np.stack(means, axis=1)[labels].astype(np.uint8)
    edges = (labels != np.roll(labels, 1, 0)) | (labels != np.roll(labels, 1, 1))
    filled[edges] //= 2
    return filled


def regions_picture(image: Image) -> Image:
    """The first regions of selective search, and all of them as a map of how many cover each pixel."""
    found = selective_search(image, ProposalSettings(), SEED)
    drawn = image.copy()
    for box in found.boxes[:FIRST]:
        outline(drawn, box)
    covered = np.zeros(image.shape[:2], np.float64)
    for x1, y1, x2, y2 in found.boxes.round().astype(int).tolist():
        covered[y1:y2, x1:x2] += 1
    return row([image, drawn, in_heat(covered)])


def crops_picture(image: Image) -> Image:
    """Some regions as the network sees them: scaled to a square, with what is around them."""
    found = selective_search(image, ProposalSettings(), SEED)
    chosen = found.boxes[:: max(len(found.boxes) // CROPS, 1)][:CROPS]
    pixels = torch.as_tensor(image).permute(2, 0, 1)[None].float() - 128
    crops = crop_regions(pixels, torch.from_numpy(chosen), RegionSettings()) + 128
    return row([np.asarray(crop.permute(1, 2, 0).clamp(0, 255).byte().numpy()) for crop in crops])


def inception_picture(image: Image, weights: Path) -> Image:
    """The mean activation of the network's maps, from the first convolution to the last inception module."""
    network, preprocessing, _ = load_model(weights)
    backbone = network.backbone
    assert isinstance(backbone, GoogLeNet)
    small = np.asarray(cv2.resize(image, (448, 448 * image.shape[0] // image.shape[1])), np.uint8)
    with torch.inference_mode():
        maps = backbone.eval().maps(prepare_image(torch.as_tensor(small), preprocessing), STEPS)
    heights, width = image.shape[0], image.shape[1]
    pictures = []
    for step in STEPS:
        heat = cv2.resize(maps[step][0].mean(0).numpy(), (width, heights), interpolation=cv2.INTER_NEAREST)
        pictures.append(in_heat(heat))
    return np.vstack([row(pictures[:3]), row(pictures[3:])])


def nms_picture(detector: ObjectDetector, image: Image) -> Image:
    """All regions whose best class is probable, and what non-maximum suppression leaves of them."""
    (regions,) = detector.proposer.finish([detector.proposer.prepare(image)])
    (scores,) = detector.scorer.score([(image, regions.boxes)])
    before = image.copy()
    for region, column in np.argwhere(scores.scores >= PROBABLE).tolist():
        outline(before, scores.boxes[region, column])
    return row([before, detector.draw(image, detector.detect(image), PROBABLE)])


def precision_recall_picture() -> Image:
    """The precision and recall of ten detections of five objects, and the area that is their average precision."""
    outcomes = np.where(HITS, TRUE_POSITIVE, FALSE_POSITIVE).astype(np.int8)
    recall, precision = precision_recall(outcomes, OBJECTS)
    figure = Figure(figsize=(5.6, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1.02), ylim=(0, 1.05), xlabel="recall", ylabel="precision")
    height = envelope(precision)
    axes.fill_between([0, *recall], [height[0], *height], step="pre", alpha=0.25, label="area: average precision")
    axes.plot(recall, precision, color="#555555", linewidth=1)
    axes.scatter(recall[HITS], precision[HITS], color="#1a7f37", zorder=3, label="on an object")
    axes.scatter(recall[~HITS], precision[~HITS], color="#cf222e", marker="x", zorder=3, label="on none")
    axes.set_title(f"AP {area_under_envelope(recall, precision):.3f}", fontsize=11)
    axes.legend(loc="lower left", frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3])


def outline(image: Image, box: Float32) -> None:
    """Draw a box (4,) into `image`, in a colour of its own."""
    x1, y1, x2, y2 = box.astype(int).tolist()
    colour = np.random.default_rng(x1 + 7 * y2).integers(60, 255, 3).tolist()
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), colour, 2)


def in_heat(values: Array) -> Image:
    """`values` (H, W) from the lowest, dark, to the highest, bright."""
    low, high = float(values.min()), float(values.max())
    grey = (255 * (values - low) / max(high - low, 1e-9)).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[:, :, ::-1], np.uint8)


def row(pictures: list[Image]) -> Image:
    """Pictures beside each other, all of one height, white between them."""
    parts: list[Image] = []
    for picture in pictures:
        width = round(picture.shape[1] * HEIGHT / picture.shape[0])
        interpolation = cv2.INTER_AREA if picture.shape[0] > HEIGHT else cv2.INTER_CUBIC
        scaled = np.asarray(cv2.resize(picture, (width, HEIGHT), interpolation=interpolation), np.uint8)
        parts += [scaled, np.full((HEIGHT, GAP, 3), 255, np.uint8)]
    joined = np.hstack(parts[:-1])
    return np.vstack([joined, np.full((GAP, joined.shape[1], 3), 255, np.uint8)])


def save(name: str, picture: Image) -> None:
    """Write docs/images/NAME.jpg."""
    _, content = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    with write_atomically(IMAGES / f"{name}.jpg") as temporary:
        temporary.write_bytes(content.tobytes())


if __name__ == "__main__":
    main()
