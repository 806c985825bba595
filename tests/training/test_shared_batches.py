import numpy as np
import pytest
import torch
from drawn_pictures import boxes_of, darken, picture

from detector.config import FinetuneSettings, RegionSettings
from detector.networks.backbones import make_backbone
from detector.networks.backbones.googlenet import SHARED
from detector.networks.shared_map import SharedClassifier, mirror_boxes, place_regions, scale_image
from detector.networks.warp import IMAGENET, prepare_image
from detector.records import Array
from detector.training.assign import IGNORED
from detector.training.batch import RegionReader
from detector.training.batch_loading import load_batches
from detector.training.objectives import RegionObjective
from detector.training.sample import RegionSampler
from detector.training.shared_batches import ImageSampler, ImageSource, place_images, zoom_factor

LABELS = np.array([1, 0, 0, 2, 0, 0, 3, IGNORED, IGNORED, 2, 0, 0, 0], np.int16)
OFFSETS = np.array([0, 6, 6, 9, 13])  # the second image has no regions, the third no background
NEAR = np.array([1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0], np.bool_)
REGION = RegionSettings(mode="shared", crop_size=32, padding=3, shared_side=(40, 80), shared_longest=200)


def make_sampler(images: int = 2, labels: Array = LABELS, **settings: object) -> ImageSampler:
    chosen = FinetuneSettings.model_validate({"batch_size": 12, "positives": 4, **settings})
    return ImageSampler(RegionSampler(labels, OFFSETS, chosen, chosen.positives, seed=0), images)


def make_source() -> ImageSource:
    return ImageSource(RegionReader(make_sampler().draw, picture, boxes_of, darken, cache_bytes=30_000))


def test_each_share_has_its_objects_and_background_from_one_image() -> None:
    sampler = make_sampler()
    for step in range(40):
        draw = sampler.draw(step)
        np.testing.assert_array_equal(LABELS[OFFSETS[draw.image] + draw.region], draw.label)
        assert (draw.label[:4] > 0).all()
        assert (draw.label[4:] == 0).all()
        for share in (0, 1):
            objects, background = draw.image[share:4:2], draw.image[4 + share :: 2]
            assert len(set(objects)) == len(set(background)) == 1
            assert background[0] == objects[0] or objects[0] == 2  # the image without background
            assert len(set(draw.mirror[share::2])) == len(set(draw.seed[share::2])) == 1


def test_images_are_drawn_as_often_as_they_have_objects() -> None:
    sampler = make_sampler()
    drawn = np.concatenate([sampler.draw(step).image[:2] for step in range(2000)])
    counts = np.bincount(drawn, minlength=4)
    np.testing.assert_allclose(counts / counts.sum(), [0.5, 0, 0.25, 0.25], atol=0.03)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, two = make_sampler(), make_sampler()
    one.draw(0)
    for a, b in zip(one.draw(7), two.draw(7), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("share", "least"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_a_share_of_the_background_is_near_objects_where_there_is_any(share: float, least: int) -> None:
    settings = FinetuneSettings(batch_size=12, positives=4)
    sampler = ImageSampler(RegionSampler(LABELS, OFFSETS, settings, 4, 0, NEAR, share), 2)
    found: dict[int, list[int]] = {0: [], 3: []}  # by the image of the background, how much of it is near
    for step in range(60):
        draw = sampler.draw(step)
        for part in (slice(4, None, 2), slice(5, None, 2)):
            rows = OFFSETS[draw.image[part]] + draw.region[part]
            assert (LABELS[rows] == 0).all()
            found[int(draw.image[part][0])].append(int(NEAR[rows].sum()))
    assert set(found[3]) == {0}  # its background is far from its objects
    assert min(found[0]) == least


def test_processes_get_whole_images() -> None:
    draw = make_sampler().draw(3)
    for rank in (0, 1):
        share = draw.share(rank, 2)
        assert (share.label > 0).sum() == 2
        np.testing.assert_array_equal(share.region, draw.region[rank::2])
        assert len(set(share.seed)) == 1


def test_batches_of_objects_alone_need_no_background() -> None:
    labels = np.where(LABELS == 0, IGNORED, LABELS).astype(np.int16)
    draw = make_sampler(3, labels, positives=12).draw(0)
    assert (draw.label > 0).all()
    assert len(draw.label) == 12


def test_a_batch_holds_the_drawn_regions_with_their_images_mirrored_where_drawn_so() -> None:
    source = make_source()
    drawn = [(step, source.reader.draw(step)) for step in range(4)]
    assert any(draw.mirror.any() for _, draw in drawn)
    for step, draw in drawn:
        batch = place_images(source[step], IMAGENET, REGION, SHARED, torch.device("cpu"))
        wanted = set()
        for image, region, label, mirror, seed in zip(*draw, strict=True):
            box = torch.from_numpy(boxes_of(int(image))[region][None])
            box = mirror_boxes(box, 70) if mirror else box
            placed = place_regions(box, 50 + int(image), 70, REGION, SHARED)
            size = placed.sizes[0]
            pixels = darken(picture(int(image)), int(seed))
            pixels = np.ascontiguousarray(pixels[:, ::-1]) if mirror else pixels
            scaled = scale_image(prepare_image(torch.from_numpy(pixels), IMAGENET), [size])[0]
            start = np.round(placed.windows.start.numpy(), 3).tobytes()
            wanted.add((size, start, int(label), round(float(scaled.sum()), 0)))
        found, row = set(), 0
        for image in batch.crops:
            for number, start in zip(image.windows.maps.tolist(), image.windows.start.numpy(), strict=True):
                copy = image.copies[number]
                size, total = tuple(copy.shape[2:]), round(float(copy.sum()), 0)
                found.add((size, np.round(start[None], 3).tobytes(), int(batch.labels[row]), total))
                row += 1
        assert row == len(batch.labels) == 12
        assert found == wanted


def test_zoomed_images_are_scaled_at_random_with_their_regions() -> None:
    plain, zoomed_source = make_source(), ImageSource(make_source().reader, 0.5)
    factors = []
    for step in range(8):
        drawn = zoomed_source[step]
        one, other = (
            place_images(each, IMAGENET, REGION, SHARED, torch.device("cpu")) for each in (plain[step], drawn)
        )
        rows = zip(one.crops, other.crops, drawn.images, drawn.zooms, strict=True)
        for image, larger, pixels, zoom in rows:
            height, width = pixels.shape[:2]
            wanted = {scaled_side(side, 200, zoom, height, width) for side in REGION.shared_side}
            assert {min(copy.shape[2:]) for copy in larger.copies} <= wanted
            assert len(image.windows.maps) == len(larger.windows.maps)
        factors += drawn.zooms
    assert 0.5 <= min(factors) < 0.8 < 1.25 < max(factors) <= 2
    assert zoomed_source[3].zooms == zoomed_source[3].zooms


def scaled_side(side: int, longest: int, zoom: float, height: int, width: int) -> int:
    factor = min(round(side * zoom) / min(height, width), round(longest * zoom) / max(height, width))
    return max(round(min(height, width) * factor), SHARED.smallest)


@pytest.mark.parametrize(("zoom", "low", "high"), [(0.0, 1, 1), (0.2, 0.8, 1.25), (0.5, 0.5, 2)])
def test_zooms_are_even_on_a_scale_of_ratios(zoom: float, low: float, high: float) -> None:
    logs = np.log2([zoom_factor(zoom, seed) for seed in range(2000)])
    assert np.log2(low) <= logs.min() <= logs.max() <= np.log2(high)
    np.testing.assert_allclose(
        np.quantile(logs, [0.25, 0.5, 0.75]), np.log2(high) * np.array([-0.5, 0, 0.5]), atol=0.06
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(workers: int) -> None:
    alone = list(load_batches(make_source(), 3, 6, workers=0, pin=False))
    together = list(load_batches(make_source(), 3, 6, workers=workers, pin=False))
    for one, two in zip(alone, together, strict=True):
        assert one.step == two.step
        assert all(torch.equal(a, b) for a, b in zip(one.images, two.images, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(one.boxes, two.boxes, strict=True))


def test_the_loss_of_a_batch_of_images_is_that_of_its_regions() -> None:
    torch.manual_seed(0)
    network = SharedClassifier(make_backbone("paper_bn"), 4, 0.0, REGION)
    batch = place_images(make_source()[0], IMAGENET, REGION, SHARED, torch.device("cpu"))
    loss, metrics = RegionObjective()(network, batch)
    wanted = torch.nn.functional.cross_entropy(network(batch.crops), batch.labels)
    torch.testing.assert_close(loss, wanted)
    assert metrics.keys() == {"object_accuracy", "background_accuracy"}
