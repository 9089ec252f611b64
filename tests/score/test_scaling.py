"""Scores from end points of several budgets, against numbers worked out by hand."""

from itertools import permutations

import pytest

from harness.score.scaling import BreakEven, Reached, Scaling, area, break_even, charged, kendall_tau, time_to

ALONE = Scaling(hours=(1.0, 4.0, 16.0), mious=(0.50, 0.60, 0.66))


def test_rankings_that_agree_have_a_tau_of_one_and_turned_round_of_minus_one():
    """By rank or by mIoU alike."""
    ranks = {"a": 1.0, "b": 2.0, "c": 3.0}

    assert kendall_tau(ranks, {"a": 10.0, "b": 20.0, "c": 30.0}) == 1.0
    assert kendall_tau(ranks, {"a": 0.7, "b": 0.6, "c": 0.5}) == -1.0


def test_one_swap_of_three_leaves_a_third():
    """Two pairs of three in order, one not."""
    assert kendall_tau({"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 1, "c": 3}) == pytest.approx(1 / 3)


def test_ties_count_as_in_tau_b():
    """1 2 2 3 against 1 3 2 4: five pairs in order, none against, one tied in the first: 5 / √(5 · 6)."""
    first, second = {"a": 1, "b": 2, "c": 2, "d": 3}, {"a": 1, "b": 3, "c": 2, "d": 4}

    assert kendall_tau(first, second) == pytest.approx(5 / 30**0.5)


def test_only_methods_of_both_rankings_count():
    """The others have nothing to be held against."""
    assert kendall_tau({"a": 1, "b": 2, "x": 0}, {"b": 2, "a": 1, "y": 9}) == 1.0


@pytest.mark.parametrize(
    ("first", "second"),
    [({}, {}), ({"a": 1}, {"a": 1}), ({"a": 1, "b": 2}, {"b": 1, "c": 2}), ({"a": 1, "b": 1}, {"a": 1, "b": 2})],
)
def test_too_few_methods_or_all_of_them_tied_have_no_tau(first, second):
    """Not 0, which would say that the rankings have nothing to do with each other."""
    assert kendall_tau(first, second) is None


def test_tau_is_scipy_s():
    """On every order of five, with a tie."""
    from scipy.stats import kendalltau

    first = [1, 2, 2, 3, 4]
    for second in permutations(range(5)):
        ours = kendall_tau(dict(zip("abcde", first, strict=True)), dict(zip("abcde", second, strict=True)))
        assert ours == pytest.approx(kendalltau(first, second).statistic, abs=1e-12)


def test_end_points_stand_in_the_order_of_their_budgets():
    """However they were given."""
    assert Scaling.of([(4.0, 0.60), (16.0, 0.66), (1.0, 0.50)]) == ALONE


@pytest.mark.parametrize("hours", [(1.0, 1.0), (2.0, 1.0), (0.0, 1.0), (1.0,)])
def test_two_end_points_at_one_budget_are_no_scaling(hours):
    """Nor one at none."""
    with pytest.raises(ValueError, match="expected one mIoU each"):
        Scaling(hours, (0.5, 0.6))


def test_between_two_budgets_the_miou_is_linear_in_the_logarithm():
    """Two hours are half-way from one to four; beyond the ends nothing is known."""
    assert ALONE.at(2.0) == pytest.approx(0.55)
    assert [ALONE.at(hours) for hours in ALONE.hours] == list(ALONE.mious)
    assert ALONE.at(0.9) is None
    assert ALONE.at(16.1) is None


def test_the_baseline_takes_all_of_its_own_time():
    """Its largest budget, as it is: a ratio of 1."""
    assert time_to(ALONE, ALONE) == Reached(hours=16.0, ratio=1.0, interpolated=False, at_most=False)


def test_the_time_to_the_baseline_s_miou_is_read_between_two_budgets():
    """0.66 lies three quarters from 0.60 to 0.68, so 4 · 4^0.75 hours; a ratio of that to 16."""
    found = time_to(Scaling((1.0, 4.0, 16.0), (0.52, 0.60, 0.68)), ALONE)

    assert (found.interpolated, found.at_most) == (True, False)
    assert found.hours == pytest.approx(4 * 4**0.75)
    assert found.ratio == pytest.approx(4**-0.25)


def test_a_method_that_was_there_at_its_smallest_budget_was_there_at_most_so_late():
    """Nothing is read out of the curve's beginning."""
    assert time_to(Scaling((1.0, 4.0), (0.70, 0.72)), ALONE) == Reached(1.0, 1 / 16, interpolated=False, at_most=True)


def test_the_first_time_counts_and_never_is_none():
    """A later loss takes nothing back."""
    assert time_to(Scaling((1.0, 4.0, 16.0), (0.5, 0.66, 0.6)), ALONE).hours == 4.0
    assert time_to(Scaling((1.0, 4.0, 16.0), (0.5, 0.6, 0.6599)), ALONE) is None


def test_the_area_is_a_mean_over_the_logarithm():
    """Two steps as wide in the logarithm: the mean of 0.55 and 0.63; over the last of them alone 0.63."""
    assert area(ALONE, ALONE.hours) == pytest.approx(0.59)
    assert area(ALONE, (16.0, 4.0)) == pytest.approx(0.63)


def test_the_area_over_the_same_budgets_is_of_no_other_end_points():
    """One in between would have made it another number: half of 0.50 and 0.66."""
    assert area(ALONE, (1.0, 16.0)) == pytest.approx(0.58)


def test_an_area_needs_two_budgets_and_an_end_point_at_each():
    """Areas over different budgets are not compared."""
    assert area(ALONE, (4.0,)) is None
    assert area(ALONE, (4.0, 4.0)) is None
    assert area(ALONE, (1.0, 8.0)) is None


def test_the_teacher_is_charged_in_equal_shares():
    """30 hours among ten."""
    assert charged(4.0, 30.0, 1) == 34.0
    assert charged(4.0, 30.0, 10) == 7.0


def test_break_even_is_where_the_baseline_would_have_got_as_far_for_the_money():
    """0.63 is the baseline's after 8 hours: 4 of them for the teacher's 30 are the share of 7.5 students, so of 8."""
    found = break_even(4.0, 0.63, ALONE, 30.0)

    assert found == BreakEven(students=8)
    assert ALONE.at(charged(4.0, 30.0, 8)) <= 0.63 < ALONE.at(charged(4.0, 30.0, 7))


@pytest.mark.parametrize("miou", [0.601, 0.61, 0.62, 0.635, 0.659])
@pytest.mark.parametrize("teacher_hours", [0.5, 3.0, 100.0])
def test_so_many_students_pay_and_one_fewer_do_not(miou, teacher_hours):
    """Against trying every number."""
    students = break_even(4.0, miou, ALONE, teacher_hours).students
    pays = [
        (alone := ALONE.at(charged(4.0, teacher_hours, number))) is not None and alone <= miou
        for number in range(1, students + 20)
    ]

    assert pays == [number >= students for number in range(1, students + 20)]


def test_whole_numbers_of_students_are_not_rounded_up():
    """0.63 is here the baseline's after 24 hours, 12 more than spent: of the teacher's 84 the share of 7 students."""
    alone = Scaling((3.0, 12.0, 48.0), ALONE.mious)

    assert break_even(12.0, 0.63, alone, 84.0) == BreakEven(students=7)


def test_a_cheap_teacher_pays_for_one_student():
    """Half an hour more would have brought the baseline less; so does a teacher that cost nothing."""
    assert break_even(4.0, 0.63, ALONE, 0.5) == BreakEven(students=1)
    assert break_even(4.0, 0.63, ALONE, 0.0) == BreakEven(students=1)


@pytest.mark.parametrize("miou", [0.59, 0.60])
def test_a_method_that_is_not_ahead_never_pays(miou):
    """Even with the teacher for nothing; no better than the baseline is not enough either."""
    assert break_even(4.0, miou, ALONE, 30.0) == BreakEven(None, never=True)


def test_as_good_is_enough_where_more_time_gains_the_baseline_nothing():
    """Flat from 4 to 16 hours, then better: 12 hours of the teacher's 30 are the share of 2.5 students, so of 3."""
    flat = Scaling((1.0, 4.0, 16.0, 64.0), (0.5, 0.6, 0.6, 0.7))

    assert break_even(4.0, 0.60, flat, 30.0) == BreakEven(students=3)


def test_never_can_be_told_without_the_teacher_s_hours_and_from_one_budget():
    """Whatever it cost, it was not worth it."""
    assert break_even(4.0, 0.59, Scaling((4.0,), (0.60,)), None) == BreakEven(None, never=True)


def test_beyond_the_baseline_s_curve_only_what_is_enough_can_be_told():
    """0.70 is better than all of it: 12 hours to its end are the share of 2.5 students, so 3 are enough."""
    found = break_even(4.0, 0.70, ALONE, 30.0)

    assert (found.students, found.never, found.at_most) == (None, False, 3)
    assert found.why == "the baseline has no budget above 16 device-hours"


def test_at_the_largest_budget_and_with_one_alone_nothing_can_be_told():
    """There is no longer run of the baseline to hold against."""
    for baseline in (ALONE, Scaling((16.0,), (0.66,))):
        found = break_even(16.0, 0.70, baseline, 30.0)

        assert (found.students, found.never, found.at_most) == (None, False, None)
        assert found.why


def test_one_student_is_enough_where_even_that_stays_on_the_curve():
    """Better than all of the baseline's, and the whole teacher costs less than its largest budget."""
    assert break_even(4.0, 0.70, ALONE, 12.0) == BreakEven(students=1)


def test_an_unknown_teacher_or_a_budget_that_the_baseline_has_not_is_said():
    """Each by its own reason."""
    assert "teacher" in break_even(4.0, 0.63, ALONE, None).why
    assert "baseline" in break_even(0.5, 0.63, ALONE, 30.0).why


def test_a_budget_between_two_of_the_baseline_s_is_held_against_its_curve():
    """After 2 hours the baseline has 0.55; 0.575 it has after 2 · 2^0.5."""
    found = break_even(2.0, 0.575, ALONE, 10.0)

    assert found == BreakEven(students=13)
    assert 12 < 10 / (2 * 2**0.5 - 2) < 13
