"""The price of one iteration, from pairs of timings to an interval."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.ledger.cost import (
    Cost,
    CostFile,
    CostKey,
    Measurement,
    cost_path,
    median_interval,
    pooled_baseline,
    price,
    ratio_interval,
)
from harness.ledger.device import Conditions
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from tests import factories


def measured(baseline: tuple[float, ...], method: tuple[float, ...]) -> Measurement:
    return Measurement(
        baseline_seconds=baseline, method_seconds=method, baseline_flops=10, method_flops=25, peak_memory_bytes=None,
        wall_seconds=3.0,
    )  # fmt: skip


def cost(low: float, high: float, rounds: int = 40) -> Cost:
    return Cost(seconds=1.0, ratio=2.0, ratio_low=low, ratio_high=high, rounds=rounds, flops=None)


def key(**changes: object) -> CostKey:
    whole = CostKey(
        device_class=factories.device_class(), workload_digest="w", method_digest="m", torch="2.8.0", concurrency=1
    )
    return whole.model_copy(update=changes)


def test_the_ratio_is_the_median_over_rounds():
    """2, 3 and 10 times the baseline make 3: one disturbed round moves nothing."""
    ratio, low, high = ratio_interval([1.0, 2.0, 1.0], [2.0, 6.0, 10.0])
    assert (ratio, low, high) == (3.0, 2.0, 10.0)


def test_a_machine_that_slows_down_hits_both_alike():
    """Timings that double from round to round leave a ratio without any width."""
    assert ratio_interval([1.0, 2.0, 4.0, 8.0], [1.5, 3.0, 6.0, 12.0]) == (1.5, 1.5, 1.5)


def test_the_same_rounds_have_the_same_interval():
    """Resampling has a generator of its own, with a seed."""
    baseline, method = [1.0, 1.1, 0.9, 1.3, 1.0], [2.0, 2.4, 1.7, 2.7, 2.1]
    assert ratio_interval(baseline, method) == ratio_interval(baseline, method)


SECONDS = st.floats(1e-3, 1e3)


@given(rounds=st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=12), speed=st.sampled_from([0.25, 2.0, 64.0]))
def test_an_interval_holds_its_ratio_and_knows_no_units(rounds, speed):
    """Low ≤ ratio ≤ high, between the extremes, the same on a machine that is faster throughout."""
    baseline, method = [pair[0] for pair in rounds], [pair[1] for pair in rounds]
    ratios = [after / before for before, after in rounds]
    ratio, low, high = found = ratio_interval(baseline, method)
    assert min(ratios) <= low <= ratio <= high <= max(ratios)
    assert ratio_interval([speed * each for each in baseline], [speed * each for each in method]) == found


@pytest.mark.parametrize("count", [9, 30, 101, 400])
def test_whole_resamples_have_the_same_interval(count: int):
    """Of the values 1, 2, 3 … its ends are the same to a few hundredths of the values, drawn either way."""
    values = np.arange(1.0, count + 1)
    picks = np.random.default_rng(1).integers(0, count, size=(4000, count))
    expected = np.quantile(np.median(values[picks], axis=1), (0.025, 0.975))
    assert median_interval(values)[1:] == pytest.approx(tuple(expected), abs=max(1.0, 0.02 * count))


def test_two_values_have_three_medians():
    """Half of the resamples of 1 and 2 hold both: the interval ends at the others, each a quarter."""
    assert median_interval([2.0, 1.0]) == (1.5, 1.0, 2.0)


def test_the_baselines_cost_is_pooled_over_processes():
    """Medians 2, 10.5 and 4: the process with most rounds weighs no more than the others."""
    processes = [(1.0, 2.0, 3.0), (10.0, 11.0), (4.0,)]
    assert pooled_baseline(measured(seconds, seconds) for seconds in processes) == 4.0


def test_a_price_is_the_ratio_times_the_pooled_baseline():
    """Ratio 2 at half a second a baseline iteration makes one second."""
    assert price(measured((1.0, 1.0, 1.0), (2.0, 2.0, 2.0)), 0.5) == Cost(
        seconds=1.0, ratio=2.0, ratio_low=2.0, ratio_high=2.0, rounds=3, flops=25
    )


@pytest.mark.parametrize(("low", "high", "uncertain"), [(1.981, 2.019, False), (1.97, 2.02, True), (2.0, 2.0, False)])
def test_a_cost_is_uncertain_beyond_one_percent_either_way(low, high, uncertain):
    """The interval's half-width is held against the ratio."""
    assert cost(low, high).uncertain is uncertain


def test_one_round_is_uncertain_however_narrow_it_looks():
    """Resampling one value gives an interval of no width that means nothing."""
    assert price(measured((1.0,), (2.0,)), 1.0).uncertain
    assert not price(measured((1.0, 1.0), (2.0, 2.0)), 1.0).uncertain


@pytest.mark.parametrize(
    ("baseline", "method"), [((), ()), ((1.0,), ()), ((1.0,), (1.0, 2.0)), ((0.0,), (1.0,)), ((1.0,), (-1.0,))]
)
def test_a_measurement_has_a_pair_of_positive_timings_a_round(baseline, method):
    """One baseline timing would otherwise be spread silently over all of a method's."""
    with pytest.raises(ValidationError):
        measured(baseline, method)


def test_a_measurement_whose_rounds_do_not_match_is_told(tmp_path):
    """A cost file edited by hand is no traceback."""
    path = tmp_path / "cost.json"
    content = json.loads(measured((1.0,), (2.0,)).model_dump_json())
    path.write_text(json.dumps(content | {"method_seconds": [2.0, 3.0]}))
    with pytest.raises(BadInput) as caught:
        read(path, Measurement)
    said = "baseline_seconds and method_seconds differ in length: a round has one of each"
    assert str(caught.value) == f"{path}: file: found a mapping: {said}"


@pytest.mark.parametrize(
    "changes",
    [
        {"device_class": factories.device_class(threads=2)},
        {"workload_digest": "other"},
        {"method_digest": "other"},
        {"torch": "2.9.0"},
        {"concurrency": 2},
        {"rules": 99},
    ],
)
def test_a_cost_is_used_again_only_where_everything_matches(changes):
    """One difference, another file."""
    assert key(**changes).digest != key().digest
    assert key().digest == key().digest


def test_costs_of_two_methods_pool_their_baseline_and_no_others_do():
    """The baseline is the same where all but the method is."""
    assert key().pools_with(key(method_digest="other"))
    assert not key().pools_with(key(concurrency=2))


def test_a_cost_file_reads_back(tmp_path):
    """RESULTS/costs/METHOD-DIGEST.json."""
    kept = CostFile(
        method="kd",
        key=key(),
        measurement=measured((1.0, 1.25), (2.0, 2.5)),
        conditions=Conditions(host="h", uuid=None, driver=None, load=None, python="3", torch="2", platform="p"),
    )
    path = cost_path(tmp_path, "kd", key())
    write(path, kept)
    assert read(path, CostFile) == kept
    assert path == tmp_path / "costs" / f"kd-{key().digest}.json"


def test_a_price_tells_what_was_seen_of_the_terms_and_of_the_preparation():
    """What the profile measured besides seconds comes along."""
    seen = {
        "preparation_seconds": 0.25, "preparation_flops": 7, "gradient_shares": {"kl@logits": 0.5},
        "weights": {"kl@logits": 3.0}, "phases": {"data": 0.5, "student": 1.0}, "phases_of": 1.5, "joules": 40.0,
        "peak_memory_bytes": 2**30, "why_not": {},
    }  # fmt: skip
    found = price(measured((1.0, 1.0), (2.0, 2.0)).model_copy(update=seen), 1.0)
    assert {name: getattr(found, name) for name in seen} == seen


def test_phases_are_held_against_the_iteration_that_has_no_marks():
    """0.3 + 0.6 s of 1 s are 90 %; an older cost has none."""
    seen = cost(2.0, 2.0).model_copy(update={"phases": {"data": 0.3, "student": 0.6}, "phases_of": 1.0})
    assert seen.phases_ratio == pytest.approx(0.9)
    assert cost(2.0, 2.0).phases_ratio is None


def test_weights_times_a_factor_cost_the_same():
    """Three times the weight is three times the gradient's share, in the same time."""
    seen = cost(2.0, 2.0).model_copy(update={"gradient_shares": {"kl@logits": 0.5}, "weights": {"kl@logits": 2.0}})
    scaled = seen.scaled(3.0)
    assert (scaled.gradient_shares, scaled.weights) == ({"kl@logits": 1.5}, {"kl@logits": 6.0})
    assert scaled.model_copy(update={"gradient_shares": {}, "weights": {}}) == cost(2.0, 2.0)


def test_a_measurement_from_before_there_were_shares_and_phases_is_read(tmp_path):
    """Old cost files have none: they just show nothing."""
    path = tmp_path / "cost.json"
    content = json.loads(measured((1.0,), (2.0,)).model_dump_json())
    new = (
        "preparation_seconds", "preparation_flops", "gradient_shares", "weights", "phases", "phases_of", "joules",
        "why_not",
    )  # fmt: skip
    path.write_text(json.dumps({name: value for name, value in content.items() if name not in new}))
    found = read(path, Measurement)
    assert (found.gradient_shares, found.weights, found.preparation_seconds) == ({}, {}, None)
    assert (found.phases, found.phases_of, found.joules, found.why_not) == ({}, None, None, {})
