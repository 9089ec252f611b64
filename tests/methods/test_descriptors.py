"""What the shipped descriptors say."""

import re

import pytest

from harness.ledger.descriptor import SHIPPED, all_methods, method_path, read_method, resolve_method, shipped_methods
from harness.ledger.weights import named_weights

EVERY = """
    baseline afdcd aicsd at attnfd bpkd cirkd cirkdv2 cwd cwd_cirkd cwd_feature cwd_mmrazor cwd_mmrazor_feature diffkd
    dist dsd featl2norm featmse featpixnorm fitnet freekd ifvd kd maskd maskd_feature mgd pkd skd transkd
"""

# What each method adds on Cityscapes, and at which stage, as the released scripts and libraries have it.
CITYSCAPES = {
    "baseline": {},
    "at": {"kl@logits": 1.0, "attention_transfer@decoded_dropped": 10000.0},
    "cwd": {"channel_divergence@logits": 3.0},
    "dist": {"inter@logits": 1.0, "intra@logits": 1.0, "inter@aux_logits": 0.4, "intra@aux_logits": 0.4},
    "featl2norm": {"normalized_l2@stage4": 1.0},
    "featmse": {"mse@stage4": 1.0},
    "fitnet": {"kl@logits": 1.0, "mse@decoded_dropped": 10.0},
    "kd": {"kl@logits": 1.0},
    "mgd": {"MaskedGeneration@stage4": 2e-5, "channel_divergence@logits": 3.0},
    "pkd": {"pearson@stage4": 6.0},
}


def resolved(name: str, dataset: str = "cityscapes", batch: int = 16):
    return resolve_method(method_path(name), dataset, batch)


def test_all_is_every_method_in_its_plain_form():
    """The baseline first, then the alphabet; variants are run by name."""
    assert all_methods() == tuple(EVERY.split())


def test_defects_put_right_are_variants():
    """`x` is as released, `x_fixed` as the paper says."""
    variants = {
        name: method.variant_of for name in shipped_methods() if (method := read_method(method_path(name))).variant_of
    }
    assert variants.items() >= {"aicsd_fixed": "aicsd", "cirkd_fixed": "cirkd"}.items()
    assert all(name.removesuffix("_fixed") == plain for name, plain in variants.items() if name.endswith("_fixed"))


@pytest.mark.parametrize("name", CITYSCAPES)
def test_terms_and_weights_on_cityscapes(name):
    """Each method is the released objective: these losses, at these stages, with these weights."""
    found = {weight.name: weight.part.weight for weight in named_weights(resolved(name))}
    assert found == CITYSCAPES[name]


@pytest.mark.parametrize("name", shipped_methods())
def test_every_method_runs_on_a_data_set_of_its_own(name):
    """A data set that no author knew gets weights, and none of them claims an author."""
    method = resolved(name, "streets", 8)
    assert method.distils is (name != "baseline")
    assert "authors" not in {part.source for term in method.terms for part in term.weights}


@pytest.mark.parametrize("name", shipped_methods())
def test_a_comparisons_repository_is_no_author(name):
    """Who re-implemented a method for a comparison speaks for the own methods alone."""
    reference = read_method(method_path(name)).reference
    sources = {part.source for term in resolved(name).terms for part in term.weights}
    if reference is not None and reference.repo in ("winycg/CIRKD", "open-mmlab/mmrazor"):
        assert "authors" not in sources or name.startswith("cirkd")


def test_attention_transfer_scales_with_positions():
    """Its loss is at most 2/N, so a sixteenth of the positions takes a sixteenth of the weight."""
    kl, attention = resolved("at", "streets", 8).terms
    assert (kl.weight, kl.transfer, attention.weight, attention.source) == (1.0, None, 10000.0, "transferred")
    assert attention.transfer is not None
    assert attention.transfer.factor(positions=512, channels=64, batch=8) == 1 / 16


def test_mgd_scales_with_what_its_sum_runs_over():
    """Half the channels and a quarter of the positions: eight times the weight."""
    transfer = resolved("mgd", "camvid", 8).terms[0].transfer
    assert transfer is not None
    assert transfer.factor(positions=1024, channels=1024, batch=8) == 8.0


def test_groups_are_the_authors_images_a_device():
    """On Cityscapes; their batch is a multiple of it."""
    groups = {name: [term.group for term in resolved(name, batch=48).terms] for name in ("dist", "cirkd", "pkd", "kd")}
    assert groups == {"dist": [2, 2], "cirkd": [None, 2, None], "pkd": [2], "kd": [None]}


@pytest.mark.parametrize("name", shipped_methods())
def test_only_the_auxiliary_head_is_optional(name):
    """A network without one still gets the other taps, and no other tap may be dropped."""
    taps = [tap for term in resolved(name).terms for tap in term.taps]
    assert all(tap.student == tap.teacher == "aux_logits" for tap in taps if tap.optional)


def test_adapters():
    """FitNet's has no bias, the plain feature losses' have one."""
    adapters = {
        name: [tap.adapter for term in resolved(name).terms for tap in term.taps]
        for name in ("fitnet", "featmse", "featl2norm", "kd")
    }
    with_bias, without = "conv1x1", "conv1x1_without_bias"
    assert adapters == {"fitnet": [None, without], "featmse": [with_bias], "featl2norm": [with_bias], "kd": [None]}


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_descriptor_is_short_and_says_where_it_comes_from(path):
    """At most sixty lines of at most 120 characters; all but the baseline name a repository and a commit."""
    lines = path.read_text().splitlines()
    method = read_method(path)
    assert len(lines) <= 60
    assert [line for line in lines if len(line) > 120] == []
    assert len(method.notes) > 80
    assert (method.family == "baseline") is (path.stem == "baseline")
    if method.family != "baseline":
        assert method.reference is not None
        assert re.fullmatch(r"[0-9a-f]{7}", method.reference.commit)
