"""The interval over images: by hand, and against a simulated population."""

import numpy as np
import pytest

from harness.ledger.counts import Counts, scores_of
from harness.ledger.errors import BadInput
from harness.score import images
from harness.score.images import bootstrap_difference, draws, percentiles, resampled_mious

SMALL = Counts(
    intersections=np.array([[6, 0], [1, 1], [2, 0]]),
    unions=np.array([[8, 2], [5, 4], [4, 0]]),
    labelled=np.array([[8, 0], [2, 4], [4, 0]]),
)
"""Three images of two classes; the labels of the first and the last hold only one of them."""


def bootstrap_mean(runs, resamples=1000):
    """The interval over images of the mean of runs: what a row alone would have."""
    return percentiles(resampled_mious(runs, draws(len(runs[0].labelled), resamples)).mean(axis=1))


def test_a_resample_by_hand():
    """Image 0 twice and image 1 once: 13 of 21 and 1 of 8. Without image 1 the second class is left out: 10 of 16."""
    weights = np.array([[2.0, 1.0, 0.0], [1.0, 0.0, 2.0]])

    assert resampled_mious([SMALL], weights) == pytest.approx(np.array([[(13 / 21 + 1 / 8) / 2], [10 / 16]]), rel=1e-15)


def test_many_runs_score_as_each_does_alone(monkeypatch):
    """However many go into one product."""
    monkeypatch.setattr(images, "COLUMNS", 7)
    runs = [part for seed in range(4) for part in population(np.random.default_rng(0), 20, 0.01 * seed)]
    weights = draws(20, resamples=9)

    assert np.array_equal(resampled_mious(runs, weights), np.hstack([resampled_mious([run], weights) for run in runs]))


def test_every_resample_has_as_many_images_as_there_are_and_repeats():
    """The same seed draws the same images, another one others."""
    weights = draws(7, resamples=50, seed=3)

    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert np.array_equal(weights, draws(7, resamples=50, seed=3))
    assert not np.array_equal(weights, draws(7, resamples=50, seed=4))


def test_every_image_is_drawn_as_often_as_every_other():
    """20,000 resamples of five: a mean of 1 and a variance of 1 − 1/5 each."""
    weights = draws(5, resamples=20_000)

    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    assert weights.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.05)


def population(random: np.random.Generator, count: int, skill: float) -> tuple[Counts, Counts]:
    """Two methods on `count` images of three classes, the second better by `skill`; hard images are hard for both."""
    labelled = random.integers(0, 400, (count, 3)) * (random.random((count, 3)) < 0.8)
    ease = random.normal(0, 0.15, (count, 1))
    both = []
    for mean in (0.6, 0.6 + skill):
        share = np.clip(mean + ease + random.normal(0, 0.05, (count, 3)), 0.05, 0.95)
        hits = np.rint(labelled * share).astype(np.int64)
        both.append(Counts(hits, labelled + np.rint(0.2 * (labelled - hits)).astype(np.int64), labelled))
    return both[0], both[1]


def part(counts: Counts, rows: slice) -> Counts:
    return Counts(counts.intersections[rows], counts.unions[rows], counts.labelled[rows])


def test_the_intervals_cover_as_often_as_they_say():
    """300 score splits of 80 images: 95 % hold the population's mIoU and difference, within the error of a count."""
    worse, better = population(np.random.default_rng(0), 24_000, 0.05)
    truths = scores_of(worse).miou, scores_of(better).miou - scores_of(worse).miou
    held = np.zeros(2)
    for at in range(300):
        rows = slice(80 * at, 80 * at + 80)
        ours, theirs = [part(better, rows)], [part(worse, rows)]
        pair = bootstrap_mean(theirs, resamples=400), bootstrap_difference(ours, theirs, resamples=400)
        held += [found.low <= truth <= found.high for found, truth in zip(pair, truths, strict=True)]

    assert held / 300 == pytest.approx(0.95, abs=0.04)


def test_pairing_takes_out_what_makes_an_image_hard_for_both():
    """The interval of the difference is far narrower than that of either mean."""
    worse, better = population(np.random.default_rng(1), 200, 0.05)
    difference = bootstrap_difference([better], [worse])

    assert difference.low > 0
    assert 3 * difference.half < bootstrap_mean([worse]).half


def test_seeds_are_averaged_before_the_interval_is_taken():
    """By hand from the same draws."""
    random = np.random.default_rng(2)
    (a, b), weights = population(random, 30, 0.02), draws(30)
    c = Counts(b.intersections // 2, b.unions, b.labelled)
    mious = resampled_mious([a, b, b, c], weights)
    expected = np.quantile((mious[:, 0] + mious[:, 1] - mious[:, 2] - mious[:, 3]) / 2, [0.025, 0.975])
    found = bootstrap_difference([a, b], [b, c])

    assert [found.low, found.high] == pytest.approx(expected, rel=1e-12)


def test_a_method_against_itself_differs_by_exactly_nothing():
    """Sums of counts are exact, whatever order a library adds them in."""
    one, _ = population(np.random.default_rng(3), 50, 0.0)
    nothing = bootstrap_difference([one, one], [one, one])

    assert (nothing.low, nothing.high) == (0.0, 0.0)


def test_a_resample_without_a_label_is_left_out():
    """One of three images has a label: of nine resamples in ten some hold it, and score what it scores."""
    alone = Counts(np.array([[1], [0], [0]]), np.array([[2], [5], [0]]), np.array([[2], [0], [0]]))
    mious = resampled_mious([alone], draws(3))

    assert np.isnan(mious).any()
    assert not np.isnan(bootstrap_mean([alone]).low)


def test_a_single_image_tells_nothing_of_others():
    """No interval, rather than one of no width."""
    single = part(SMALL, slice(1, 2))

    assert bootstrap_difference([single], [single]) is None


def test_runs_that_were_scored_on_other_labels_are_not_compared():
    """The drawn images would not be the same."""
    other = Counts(SMALL.intersections, SMALL.unions, SMALL.unions)

    with pytest.raises(BadInput, match="scored on the same images"):
        bootstrap_difference([SMALL], [other])
    with pytest.raises(ValueError, match="2 runs against 1"):
        bootstrap_difference([SMALL, SMALL], [SMALL])
