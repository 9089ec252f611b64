"""Sliding windows, by hand on networks whose logits are their input."""

import pytest
import torch
from torch import Tensor

from harness.ledger.workload import Sliding
from harness.segmentation.windows import slide, spans


def sliding(window: tuple[int, int], step: tuple[int, int]) -> Sliding:
    return Sliding(mode="sliding", window=window, step=step)


def row(*values: float) -> Tensor:
    """One image of one row, the same in all channels: 1×3×1×W."""
    return torch.tensor(values, dtype=torch.float32).expand(1, 3, 1, len(values)).clone()


def starts(size: int, window: int, step: int) -> list[int]:
    assert all(span.stop - span.start == window for span in spans(size, window, step))
    return [span.start for span in spans(size, window, step)]


class Numbered:
    """Logits that are the image, plus 100 for each window before."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(images.clone())
        return images + 100 * (len(self.seen) - 1)


def test_windows_are_a_step_apart():
    assert starts(8, 4, 2) == [0, 2, 4]
    assert starts(2048, 1024, 1024) == [0, 1024]  # CIRKD's two halves of an image of Cityscapes


def test_the_last_window_ends_at_the_border_where_the_step_does_not_divide():
    assert starts(9, 4, 2) == [0, 2, 4, 5]
    assert starts(2048, 769, 513) == [0, 513, 1026, 1279]


def test_a_side_of_the_windows_size_has_one_window():
    assert starts(4, 4, 1) == [0]


@pytest.mark.parametrize("size", range(5, 14))
@pytest.mark.parametrize("step", range(1, 6))
def test_windows_leave_no_pixel_out_and_reach_over_no_border(size, step):
    covered = {pixel for span in spans(size, 5, step) for pixel in range(span.start, span.stop)}
    assert covered == set(range(size))
    assert len(set(starts(size, 5, step))) == len(spans(size, 5, step))


def test_logits_are_averaged_over_as_many_windows_as_saw_the_pixel():
    # Four pixels in windows of two: 0 1, 1 2, 2 3. The first adds 0, the second 100, the third 200.
    numbered = Numbered()
    found = slide(numbered, row(1, 2, 3, 4), 3, sliding((1, 2), (1, 1)))
    assert [window[0, 0, 0].tolist() for window in numbered.seen] == [[1, 2], [2, 3], [3, 4]]
    assert found[0, 0, 0].tolist() == [1, 2 + 50, 3 + 150, 4 + 200]
    assert found.shape == (1, 3, 1, 4)


def test_windows_overlap_in_both_directions():
    # Three by three in windows of two by two, whose logits are 0, 1, 2, 3: the pixel in the middle is in all four.
    numbers = iter((0.0, 1.0, 2.0, 3.0))
    found = slide(
        lambda images: torch.full_like(images, next(numbers)), torch.zeros(1, 3, 3, 3), 3, sliding((2, 2), (1, 1))
    )
    assert found[0, 0].tolist() == [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]


def test_a_step_that_does_not_divide_gives_the_last_pixels_to_more_windows():
    # Five pixels in windows of three, two apart: 0 1 2 and 2 3 4; six pixels: 0 1 2, 2 3 4 and 3 4 5.
    five = slide(Numbered(), torch.zeros(1, 3, 1, 5), 3, sliding((1, 3), (1, 2)))
    six = slide(Numbered(), torch.zeros(1, 3, 1, 6), 3, sliding((1, 3), (1, 2)))
    assert five[0, 0, 0].tolist() == [0, 0, 50, 100, 100]
    assert six[0, 0, 0].tolist() == [0, 0, 50, 150, 150, 200]


def test_an_image_smaller_than_the_window_is_padded_with_the_mean_and_cut_again():
    numbered = Numbered()
    found = slide(numbered, row(1, 2), 3, sliding((3, 4), (3, 4)))
    assert [window[0, 0].tolist() for window in numbered.seen] == [[[1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]
    assert found[0, 0].tolist() == [[1, 2]]


def test_an_image_may_be_smaller_along_one_side_alone():
    numbered = Numbered()
    found = slide(numbered, row(1, 2, 3), 3, sliding((2, 2), (1, 1)))
    assert [window.shape[2:] for window in numbered.seen] == [(2, 2), (2, 2)]
    assert found[0, 0].tolist() == [[1, 2 + 50, 3 + 100]]


def test_logits_are_enlarged_to_the_window_with_corners_aligned():
    # Each window of three pixels gives two logits, 0 and 1 (and 2, 3 in the second): enlarged 0, ½, 1 and 2, 2½, 3.
    coarse = iter((torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2), torch.tensor([2.0, 3.0]).expand(1, 3, 1, 2)))
    found = slide(lambda images: next(coarse), torch.zeros(1, 3, 1, 6), 3, sliding((1, 3), (1, 3)))
    assert found[0, 0, 0].tolist() == [0, 0.5, 1, 2, 2.5, 3]


def test_images_of_a_batch_keep_to_themselves():
    images = torch.cat([row(1, 2, 3), row(4, 5, 6)])
    found = slide(lambda seen: seen, images, 3, sliding((1, 2), (1, 1)))
    assert torch.equal(found, images)
