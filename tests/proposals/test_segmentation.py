import numpy as np
import pytest
from oracles_proposals import segment_slowly, sorted_edges

from detector.proposals.segmentation import NO_EDGE, Scale, edge_grades, pixel_graph, segment, smooth
from detector.records import Array, Image


def random_image(random: np.random.Generator, height: int, width: int, channels: int) -> Image:
    """Blobs with noise: few colours, so that weights tie and regions are of many sizes."""
    coarse = random.integers(0, 4, (height // 3 + 1, width // 3 + 1, channels)) * 60
    noise = random.integers(0, 12, (height, width, channels))
    return (coarse.repeat(3, axis=0).repeat(3, axis=1)[:height, :width] + noise).astype(np.uint8)


def two_halves(left: int, right: int) -> Image:
    image = np.full((6, 8, 3), left, np.uint8)
    image[:, 4:] = right
    return image


def superpixels(image: Image, sigma: float, k: float, min_size: int) -> Array:
    """The labels (H, W) of the superpixels at one scale."""
    pieces, (numbers,) = segment(pixel_graph(image, sigma), [Scale(k, min_size)])
    return numbers[pieces]


def test_grades_are_roots_of_colour_distances_in_every_direction() -> None:
    image = np.array([[[0, 0, 0], [5, 12, 84]], [[0, 0, 4], [0, 0, 0]]], np.uint8)
    right, down_left, down, down_right = edge_grades(smooth(image, 0)).astype(int)
    assert right.tolist() == [[round(3000 * 85**0.5), NO_EDGE], [6000, NO_EDGE]]
    assert down_left.tolist() == [[NO_EDGE, round(3000 * 6569**0.25)], [NO_EDGE, NO_EDGE]]
    assert down.tolist() == [[6000, round(3000 * 85**0.5)], [NO_EDGE, NO_EDGE]]
    assert down_right.tolist() == [[0, NO_EDGE], [NO_EDGE, NO_EDGE]]


def test_the_greatest_grade_fits() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert edge_grades(smooth(image, 0))[0, 0, 0] == round(3000 * 255**0.5 * 3**0.25) < NO_EDGE


def test_edges_are_sorted_by_grade_then_pixel_then_direction() -> None:
    image = random_image(np.random.default_rng(0), 7, 9, 3)
    graph = pixel_graph(image, 0.8)
    steps = np.array([1, 8, 9, 10])
    grades = np.repeat(np.arange(NO_EDGE), np.diff(graph.starts))
    pixels = graph.edges // 4
    got = np.stack([grades, pixels, pixels + steps[graph.edges % 4]], axis=1)
    assert got.tolist() == [list(edge) for edge in sorted_edges(smooth(image, 0.8))]


def test_an_edge_stronger_than_k_splits_two_flat_halves() -> None:
    labels = superpixels(two_halves(100, 110), 0, 24 * 17, 0)  # halves of 24 pixels, contrast 17.3
    assert labels.tolist() == [[0] * 4 + [1] * 4] * 6
    assert superpixels(two_halves(100, 110), 0, 24 * 18, 0).max() == 0


def test_superpixels_under_the_minimum_size_join_their_most_similar_neighbour() -> None:
    row = np.array([0, 0, 0, 0, 100, 140, 140, 140], np.uint8)
    image = np.tile(row[None, :, None], (1, 1, 3))
    assert superpixels(image, 0, 1, 1).tolist() == [[0, 0, 0, 0, 1, 2, 2, 2]]
    assert superpixels(image, 0, 1, 2).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]


def test_pieces_are_what_no_scale_divides() -> None:
    row = np.array([0, 0, 0, 0, 100, 140, 140, 140], np.uint8)
    graph = pixel_graph(row[None, :, None], 0)
    pieces, (small, paired, all_in_one) = segment(graph, [Scale(1, 1), Scale(1, 2), Scale(1, 8)])
    assert pieces.tolist() == [[0, 0, 0, 0, 1, 2, 2, 2]]
    assert small.tolist() == [0, 1, 2]
    assert paired.tolist() == [0, 1, 1]
    assert all_in_one.tolist() == [0, 0, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_smooth_image_falls_apart_as_with_exact_weights(channels: int) -> None:
    image = np.random.default_rng(8).integers(100, 103, (48, 48, channels)).astype(np.uint8)
    exact = segment_slowly(smooth(image, 2), 1, 0, grades=10**7)
    assert 20 < exact.max() < 30
    assert abs(superpixels(image, 2, 1, 0).max() - exact.max()) <= 1


def test_one_colour_is_one_superpixel() -> None:
    labels = superpixels(np.full((16, 16, 3), 7, np.uint8), 0.8, 50, 50)
    assert labels.dtype == np.int32
    assert not labels.any()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 1), (2, 2, 1)])
def test_thin_images_agree_with_the_slow_version(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    for k in (1, 60, 500):
        wanted = segment_slowly(smooth(image, 0.8), k, 2)
        np.testing.assert_array_equal(superpixels(image, 0.8, k, 2), wanted)


@pytest.mark.parametrize(("k", "min_size"), [(1, 0), (20, 1), (50, 5), (50, 20), (300, 8), (10**12, 0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_random_images_agree_with_the_slow_version(k: int, min_size: int, channels: int) -> None:
    random = np.random.default_rng(k + min_size)
    for _ in range(4):
        image = random_image(random, int(random.integers(5, 20)), int(random.integers(5, 20)), channels)
        wanted = segment_slowly(smooth(image, 0.8), k, min_size)
        np.testing.assert_array_equal(superpixels(image, 0.8, k, min_size), wanted)


@pytest.mark.parametrize("sigma", [0, 0.8])
def test_several_scales_agree_with_the_slow_version(sigma: float) -> None:
    random = np.random.default_rng(7)
    scales = [Scale(60, 9), Scale(2, 0), Scale(20, 4), Scale(20, 12), Scale(400, 1), Scale(10**12, 0)]
    for _ in range(6):
        image = random_image(random, int(random.integers(5, 24)), int(random.integers(5, 24)), 3)
        pieces, superpixels = segment(pixel_graph(image, sigma), scales)
        assert (np.diff(np.unique(pieces.ravel(), return_index=True)[1]) > 0).all()
        for scale, numbers in zip(scales, superpixels, strict=True):
            wanted = segment_slowly(smooth(image, sigma), int(scale.k), scale.min_size)
            np.testing.assert_array_equal(numbers[pieces], wanted)


def test_a_graph_serves_again() -> None:
    graph = pixel_graph(random_image(np.random.default_rng(4), 15, 15, 3), 0.8)
    edges = graph.edges.copy()
    first, _ = segment(graph, [Scale(30, 5)])
    segment(graph, [Scale(90, 5)])
    np.testing.assert_array_equal(graph.edges, edges)
    np.testing.assert_array_equal(segment(graph, [Scale(30, 5)])[0], first)


def test_a_minimum_size_above_the_image_leaves_one_superpixel() -> None:
    image = random_image(np.random.default_rng(2), 12, 12, 3)
    assert superpixels(image, 0.8, 1e300, 10**30).max() == 0
    assert superpixels(image, 0.8, 1, 10**30).max() == 0


def test_smoothing_is_a_gaussian_with_repeated_borders() -> None:
    image = np.random.default_rng(3).integers(0, 256, (11, 13, 2)).astype(np.uint8)
    np.testing.assert_allclose(smooth(image, 0.8), blur(image, 0.8), atol=1e-3)


def blur(image: Array, sigma: float) -> Array:
    reach = np.arange(-4, 5)
    kernel = np.exp(-(reach**2) / (2 * sigma**2))
    padded = np.pad(image.transpose(2, 0, 1).astype(float), ((0, 0), (4, 4), (4, 4)), mode="edge")
    rows = np.apply_along_axis(np.convolve, 2, padded, kernel / kernel.sum(), mode="valid")
    return np.apply_along_axis(np.convolve, 1, rows, kernel / kernel.sum(), mode="valid")
