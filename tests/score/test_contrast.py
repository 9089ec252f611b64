"""The contrast of docs/rules.md: who enters, when a pair is ahead, and the four words."""

from functools import cache

import numpy as np
import pytest

from harness.score.contrast import Entrant, Pair, Verdict, verdict
from harness.score.simultaneous import joint_quantile

NAN = float("nan")
AUTHORS = ("authors",)


def entrant(name: str, family: str = "segmentation", sources=AUTHORS, is_variant: bool = False, above: bool = True):
    return Entrant(name, family, is_variant, sources, above)


KD = entrant("kd", "canonical", ("ours",))
FEATMSE = entrant("featmse", "canonical", ("ours",))
BASELINE = entrant("baseline", "baseline", ())
BOARD = (BASELINE, KD, FEATMSE, entrant("cirkd"), entrant("ifvd"))


def remembered(correlation: np.ndarray, freedom: float) -> float:
    """The program's own quantile, once for every set of correlations."""
    return _remembered(np.round(correlation, 12).tobytes(), len(correlation), freedom)


@cache
def _remembered(correlations: bytes, size: int, freedom: float) -> float:
    return joint_quantile(np.frombuffer(correlations).reshape(size, size), freedom)


def judged(table, entrants=BOARD, standing="benchmark", is_time=True, quantile=remembered) -> Verdict:
    return verdict(entrants, np.asarray(table, np.float64), standing, is_time, quantile)


def scores(*means: float, sd: float = 0.001) -> np.ndarray:
    """Methods × 3 seeds, with residuals of that size that add up to nothing over methods and over seeds."""
    shape = np.array([1, -1] * (len(means) // 2) + [0] * (len(means) % 2))
    return np.array(means)[:, None] + sd * np.outer(shape, [1, -1, 0]) + np.array([0.02, 0.0, -0.02])


def sides(found: Verdict) -> dict[tuple[str, str], str]:
    return {(pair.canonical, pair.other): pair.side for pair in found.pairs}


@pytest.mark.parametrize(
    ("means", "word", "counts"),
    [
        ((0.5, 0.7, 0.7, 0.6, 0.6), "supported", (4, 0, 0)),
        ((0.5, 0.6, 0.6, 0.7, 0.7), "contradicted", (0, 4, 0)),
        ((0.5, 0.7, 0.7, 0.6, 0.8), "mixed", (2, 2, 0)),
        ((0.5, 0.7, 0.6, 0.65, 0.7), "mixed", (1, 2, 1)),
        ((0.5, 0.7, 0.7, 0.6, 0.7), "undecided", (2, 0, 2)),
        ((0.5, 0.6, 0.6, 0.7, 0.6), "undecided", (0, 2, 2)),
        ((0.5, 0.6, 0.6, 0.6, 0.6), "undecided", (0, 0, 4)),
    ],
)
def test_the_verdict_is_one_of_four_words_with_its_counts(means, word, counts):
    """Every combination of sides that the rules name."""
    found = judged(scores(*means))

    assert (found.word, (found.ahead, found.behind, found.open)) == (word, counts)


def test_every_canonical_method_is_held_against_every_other_one():
    """In the order of the rules, then of the table."""
    assert list(sides(judged(scores(0.5, 0.7, 0.7, 0.6, 0.6)))) == [
        ("kd", "cirkd"),
        ("kd", "ifvd"),
        ("featmse", "cirkd"),
        ("featmse", "ifvd"),
    ]


def test_one_pair_of_each_is_worked_out_by_hand():
    """Residuals ± 0.01 in a 2 × 3 table, one method of each side: the paired t interval, for two pairs one is open."""
    table = scores(0.70, 0.60, sd=0.01)
    seen = []

    def fixed(correlation, freedom):
        seen.append((correlation.tolist(), freedom))
        return 3.0

    pair, unformed = judged(table, (KD, entrant("cirkd")), quantile=fixed).pairs

    # Squares 4 · 0.01² over 2 degrees of freedom; a mean of three differences of two runs has 2/3 of that variance.
    half = 3.0 * (2e-4 * 2 / 3) ** 0.5
    assert seen == [([[pytest.approx(1.0)]], 2)]
    assert (pair.side, pair.difference.mean, pair.difference.n) == ("ahead", pytest.approx(0.10), 3)
    assert (pair.difference.interval.low, pair.difference.interval.high) == pytest.approx((0.10 - half, 0.10 + half))
    assert unformed == Pair("featmse", "cirkd", "open", None, "featmse has no run on this track")


def test_pairs_that_share_a_method_are_correlated_by_half():
    """And by less where they share fewer seeds: 3 of 4 runs of kd, 3 / √(3 · 4) / 2."""
    seen = []

    def fixed(correlation, freedom):
        seen.append(correlation)
        return 3.0

    table = np.random.default_rng(0).normal(0, 1, (4, 4))
    table[3, 3] = NAN
    judged(table, BOARD[1:], quantile=fixed)
    some = 3 / 12**0.5 / 2

    assert seen[0] == pytest.approx(
        np.array([[1, some, 0.5, 0], [some, 1, 0, 0.5], [0.5, 0, 1, some], [0, 0.5, some, 1]])
    )


@pytest.mark.parametrize(
    ("other", "enters"),
    [
        (entrant("x"), True),
        (entrant("x", above=False), True),
        (entrant("x", "general"), False),
        (entrant("x", "canonical"), False),
        (entrant("x", is_variant=True), False),
        (entrant("x", sources=("authors", "ours")), False),
        (entrant("x", sources=("reimplementation",)), False),
        (entrant("x", sources=("transferred",)), False),
        (entrant("x", sources=()), False),
    ],
)
def test_the_other_side_is_made_for_segmentation_and_set_by_its_authors(other, enters):
    """Its place above the line is no matter of entering: below it its pairs are open."""
    found = judged(scores(0.5, 0.7, 0.7, 0.6, 0.6, 0.6), (*BOARD, other))

    assert (("kd", "x") in sides(found)) == enters


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"standing": "demonstration"}, "a demonstration never enters the contrast"),
        ({"standing": "smoke test"}, "a smoke test never enters the contrast"),
        ({"is_time": False}, "the contrast is at matched time: this budget is none"),
        (
            {"entrants": (*BOARD[:3], entrant("cirkd", is_variant=True), entrant("ifvd", sources=("ours",)))},
            "no method",
        ),
    ],
)
def test_a_track_that_does_not_enter_has_no_verdict_and_says_why(change, why):
    """Nor any pair."""
    found = judged(scores(0.5, 0.7, 0.7, 0.6, 0.6), **change)

    assert (found.word, found.pairs) == (None, ())
    assert found.why.startswith(why)


def test_a_pair_that_cannot_be_formed_is_open_and_says_why():
    """So a track of which one is missing is never supported."""
    table = scores(0.5, 0.7, 0.7, 0.6, 0.6, 0.6)
    table[4, 1] = NAN
    below = entrant("mgd", above=False)
    found = judged(table, (*BOARD, below))
    why = {pair.other: (pair.side, pair.why) for pair in found.pairs if pair.canonical == "kd"}

    assert found.word == "undecided"
    assert why["cirkd"] == ("ahead", "")
    assert why["ifvd"] == ("open", "both have finished 2 seeds in common: it needs at least 3")
    assert why["mgd"] == ("open", "mgd stands below the line")


@pytest.mark.parametrize("canonical", [(), (FEATMSE,), (entrant("kd", "canonical", above=False), FEATMSE)])
def test_without_kd_nothing_is_supported(canonical):
    """Another canonical method does not take its place."""
    entrants = (*canonical, entrant("another", "canonical"), entrant("cirkd"))
    found = judged(scores(*[0.7] * (len(entrants) - 1), 0.6), entrants)

    assert found.word == "undecided"
    assert {pair.why for pair in found.pairs if pair.canonical == "kd"} <= {
        "kd has no run on this track",
        "kd stands below the line",
    }


def test_two_versions_that_ended_together_leave_their_pairs_open():
    """Neither of them is the current one, whether both stand above the line or one does."""
    table = scores(0.5, 0.7, 0.7, 0.6, 0.6)
    for above in (True, False):
        found = judged(np.vstack([table, table[3]]), (*BOARD, entrant("cirkd", above=above)))
        assert {pair.other for pair in found.pairs if pair.side == "open"} == {"cirkd"}
        assert {pair.why for pair in found.pairs if pair.other == "cirkd"} == {
            "cirkd has 2 versions that ended together: none of them is the current one"
        }
        assert found.word == "undecided"


def test_rows_below_the_line_do_not_count():
    """A wild row adds nothing to the variance."""
    table = scores(0.5, 0.7, 0.7, 0.6, 0.6)
    wild = np.vstack([table, [[0.1, 0.9, 0.5]]])
    entrants = (*BOARD, entrant("mad", "general", above=False))

    assert judged(wild, entrants) == judged(table)


def boards(count: int, gap: float, seeds: int = 3):
    """Verdicts of simulated tracks: the baseline, two canonical methods ahead by `gap` residual sds, four others."""
    random = np.random.default_rng(7)
    entrants = (*BOARD, entrant("mgd"), entrant("dsd"))
    means = np.array([0.0, gap, gap, 0.0, 0.0, 0.0, 0.0])[:, None]
    for _ in range(count):
        noise = random.normal(0, 1, (len(entrants), seeds)) + random.normal(0, 2, (1, seeds))
        yield entrants, 0.6 + 0.004 * (means + noise)


def test_the_claim_and_its_opposite_clear_the_same_bar():
    """With every mIoU negated, ahead and behind change places, and with them the words."""
    turned = {"supported": "contradicted", "contradicted": "supported", "mixed": "mixed", "undecided": "undecided"}
    words = set()
    for gap in (-5.0, 0.0, 3.0, 6.0):
        for entrants, table in boards(20, gap):
            ours, opposite = judged(table, entrants), judged(-table, entrants)
            words.add(ours.word)
            assert opposite.word == turned[ours.word]
            assert (opposite.ahead, opposite.behind, opposite.open) == (ours.behind, ours.ahead, ours.open)

    assert words >= {"supported", "contradicted", "undecided"}


@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_methods_are_told_apart_no_more_often_than_agreed(seeds):
    """1,000 tracks of equal methods: any pair ahead or behind in at most 6.5 %, one side supported in next to none."""
    verdicts = [judged(table, entrants) for entrants, table in boards(1000, 0.0, seeds)]

    assert 0.035 <= np.mean([found.ahead + found.behind > 0 for found in verdicts]) <= 0.065
    assert sum(found.word in ("supported", "contradicted") for found in verdicts) <= 2


def test_a_gap_of_five_residual_sds_is_found():
    """So the bar can be cleared: all eight pairs ahead in most tracks of five seeds."""
    words = [judged(table, entrants).word for entrants, table in boards(200, 5.0, 5)]

    assert np.mean([word == "supported" for word in words]) > 0.9
