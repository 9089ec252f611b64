"""Random colours, by hand."""

import colorsys

import pytest
import torch

from harness.segmentation.photometric import DRAWS, distort, recolour

NEVER, EARLY, LATE = [0.9] * 4, [0.9], [0.1]
MIDDLE = [0.5] * 4


def grey(value: float) -> torch.Tensor:
    return torch.full((3, 1, 1), value)


def test_without_luck_nothing_changes():
    image = torch.rand(3, 4, 5) * 255
    draws = [*NEVER, *EARLY, *MIDDLE]
    assert len(draws) == DRAWS
    assert torch.equal(distort(image, draws), image)


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 68.0), (0.5, 100.0), (1.0, 132.0)])
def test_brightness_adds_up_to_32(draw: float, expected: float):
    assert distort(grey(100.0), [0.1, 0.9, 0.9, 0.9, 0.9, draw, 0.5, 0.5, 0.5]) == pytest.approx(grey(expected))


@pytest.mark.parametrize("place", [0.1, 0.9])
@pytest.mark.parametrize(("draw", "expected"), [(0.0, 50.0), (0.5, 100.0), (1.0, 150.0)])
def test_contrast_multiplies_by_a_half_to_one_and_a_half(place: float, draw: float, expected: float):
    assert distort(grey(100.0), [0.9, 0.1, 0.9, 0.9, place, 0.5, draw, 0.5, 0.5]) == pytest.approx(grey(expected))


def test_what_leaves_a_byte_is_cut_off():
    assert torch.equal(distort(grey(250.0), [0.1, 0.9, 0.9, 0.9, 0.9, 1.0, 0.5, 0.5, 0.5]), grey(255.0))


PIXELS = [
    (1.0, 0.5, 0.25), (0.2, 0.2, 0.2), (0.0, 0.0, 0.0), (0.1, 0.9, 0.3),
    (0.3, 0.2, 0.8), (0.8, 0.1, 0.7), (1.0, 1.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.4, 9.0])
@pytest.mark.parametrize("turn", [0.0, 0.1, -0.1, 0.45])
def test_saturation_and_hue_are_hsvs(factor: float, turn: float):
    """As colorsys has them, pixel by pixel, grey and black ones too; saturation is one at most."""
    expected = []
    for pixel in PIXELS:
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected.append(colorsys.hsv_to_rgb((hue + turn) % 1, min(1.0, saturation * factor), value))
    found = recolour(torch.tensor(PIXELS).T[:, :, None] * 255, factor, turn) / 255
    assert torch.allclose(found[:, :, 0].T, torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize(("draw", "degrees"), [(1.0, 36.0), (0.5, 0.0), (0.0, 324.0)])
def test_hue_turns_by_36_degrees_at_most(draw: float, degrees: float):
    """18 of OpenCV's half degrees; a red of value 200 keeps it."""
    red = torch.tensor([200.0, 50.0, 50.0])[:, None, None]
    turned = distort(red, [0.9, 0.9, 0.9, 0.1, 0.9, 0.5, 0.5, 0.5, draw])
    hue, _, value = colorsys.rgb_to_hsv(*(turned.flatten() / 255).tolist())
    assert (360 * hue, 255 * value) == (pytest.approx(degrees, abs=0.01), pytest.approx(200.0, abs=0.01))
