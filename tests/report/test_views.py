"""What the page says of a group: scores over several budgets, a section a method."""

import pytest

from harness.ledger.about import about
from harness.report.style import styles_of
from harness.report.views import scaled_of, sections, students, teacher_hours
from harness.score.groups import grouped
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from tests.factories import ground, record

TEACHER = ground().teacher.model_copy(update={"training_seconds": 7200.0})
TAUGHT = ground().model_copy(update={"teacher": TEACHER})


def group_of(*records):
    (only,) = grouped(boards(runs_of(records)))
    return only


def seeds(name, miou, budget, **facts):
    return [record(name, seed, miou, budget=budget, on=TAUGHT, **facts) for seed in range(2)]


def two_budgets():
    """The baseline has 0.50 and 0.60 after one and four hours, kd 0.55 and 0.58."""
    return group_of(
        *seeds("baseline", 0.50, "1h"),
        *seeds("baseline", 0.60, "4h"),
        *seeds("kd", 0.55, "1h"),
        *seeds("kd", 0.58, "4h"),
    )


def test_scores_over_budgets_come_of_end_points():
    """By hand: kd never has 0.60; its mean over log hours is 0.565, the baseline's 0.55, so it stands first."""
    kd, alone = scaled_of(two_budgets())

    assert (kd.method, kd.reached, kd.area) == ("kd", None, pytest.approx(0.565))
    assert (alone.method, alone.area, alone.break_even) == ("baseline", pytest.approx(0.55), ())
    assert (alone.reached.hours, alone.reached.ratio) == (4.0, 1.0)


def test_a_method_pays_from_so_many_students_on():
    """At 1 h kd has what the baseline has after 2 h: a teacher of 2 h among two students costs each the other hour."""
    ((budget, found),) = scaled_of(two_budgets())[0].break_even

    assert (budget, found.students) == ("1h", 2)


def test_the_teacher_is_charged_to_one_ten_or_all():
    """4 h and 2 h among 1, 10 and the four runs that had it."""
    group = two_budgets()

    assert (teacher_hours(group), students(group)) == (2.0, 4)
    assert scaled_of(group)[0].charged == (6.0, pytest.approx(4.2), 4.5)


def test_one_budget_has_no_scores_over_budgets():
    """Nor have budgets in iterations, whose runs take unlike times."""
    assert scaled_of(group_of(*seeds("baseline", 0.5, "1h"), *seeds("kd", 0.5, "1h"))) == ()
    runs = [*seeds("baseline", 0.5, "1k it"), *seeds("baseline", 0.6, "2k it")]
    assert scaled_of(group_of(*runs)) == ()


def test_a_section_has_descriptor_paper_weights_and_failures():
    """Of a method that ships; a failure keeps the end of its log."""
    failed = record("cwd", 1, ending="failed", reason="disk", family="segmentation")
    failed = failed.model_copy(update={"log_tail": "No space left"})
    group = group_of(record("baseline"), record("cwd", family="segmentation"), failed)
    known = about(frozenset({"baseline", "cwd"}))
    styles = styles_of(known)
    found = {section.name: section for section in sections(group, known, styles, {})}

    assert "channel_divergence" in found["cwd"].descriptor
    assert found["cwd"].paper.url == "https://arxiv.org/abs/2011.13256"
    assert found["cwd"].reference.text.startswith("irfanICMLL/TorchDistiller")
    assert [(weight.term, weight.source) for weight in found["cwd"].weights] == [("kl@logits", "authors")]
    assert [(each.ending, each.reason, each.log_tail) for each in found["cwd"].failures] == [
        ("failed", "disk", "No space left")
    ]
    assert dict(found["cwd"].provenance)["workload digest"] == group.first.workload_digest


def test_a_method_is_described_once_on_a_page():
    """And one that does not ship has no descriptor to show."""
    group = group_of(record("baseline"), record("mine"), record("cwd"))
    known = about(frozenset({"baseline", "mine", "cwd"}))
    found = sections(group, known, styles_of(["baseline", "mine", "cwd"]), {"cwd": "m1-ab"})

    assert {section.name for section in found if section.descriptor} == {"baseline"}
    assert {section.name: section.described_in for section in found if section.described_in} == {"cwd": "m1-ab"}
