"""What the shipped descriptors say."""

import re

import pytest

from harness.ledger.method import SHIPPED, method_path, read_method, resolve_method, shipped_methods

# Each method's terms on Cityscapes at 512×1024: (loss, stage, weight), as the released scripts and libraries have them.
CITYSCAPES = {
    "baseline": [],
    "at": [("kl", "logits", 1.0), ("attention_transfer", "decoded_dropped", 10000.0)],
    "cwd": [("channel_divergence", "logits", 3.0)],
    "dist": [("relation", "logits", 1.0), ("relation", "aux_logits", 0.4)],
    "featl2norm": [("normalized_l2", "stage4", 1.0)],
    "featmse": [("mse", "stage4", 1.0)],
    "fitnet": [("kl", "logits", 1.0), ("mse", "decoded_dropped", 10.0)],
    "kd": [("kl", "logits", 1.0)],
}


@pytest.mark.parametrize("name", CITYSCAPES)
def test_terms_and_weights_on_cityscapes(name):
    """Each method is the released objective: these losses, at these stages, with these weights."""
    terms = resolve_method(method_path(name), "cityscapes", 8192).terms
    assert [(term.function, term.taps[0].student, term.weight) for term in terms] == CITYSCAPES[name]


@pytest.mark.parametrize("name", shipped_methods())
def test_every_method_runs_on_a_data_set_of_its_own(name):
    """A data set that no author knew gets weights, and none of them claims an author."""
    terms = resolve_method(method_path(name), "streets", 512).terms
    assert {term.source for term in terms} <= {"transferred", "reimplementation"}


def test_attention_transfer_scales_with_positions():
    """Its loss is at most 2/N, so a sixteenth of the positions takes a sixteenth of the weight."""
    kl, attention = resolve_method(method_path("at"), "streets", 512).terms
    assert (kl.weight, attention.weight, attention.source) == (1.0, 625.0, "transferred")


def test_author_settings_are_the_authors_own():
    """Only the methods' own authors count as authors: a comparison's repository re-implemented the others."""
    sources = {
        name: {term.source for term in resolve_method(method_path(name), "cityscapes", 8192).terms}
        for name in shipped_methods()
    }
    assert [name for name, found in sources.items() if found == {"authors"}] == ["cwd", "dist"]


def test_only_dist_couples_images():
    """DIST's correlations run over the two images that its authors had on a device."""
    groups = {name: read_method(method_path(name)).group for name in shipped_methods()}
    assert {name: group for name, group in groups.items() if group} == {"dist": 2}


def test_only_the_auxiliary_term_is_optional():
    """A network without an auxiliary head still gets DIST's main term, and no other term may be dropped."""
    optional = [
        term.name
        for name in shipped_methods()
        for term in resolve_method(method_path(name), "cityscapes", 8192).terms
        if term.optional
    ]
    assert optional == ["relation@aux_logits"]


def test_adapters():
    """FitNet's has no bias, the plain feature losses' have one, and no other method adapts."""
    adapters = {
        name: tap.adapter
        for name in shipped_methods()
        for term in read_method(method_path(name)).terms
        if (tap := term.at) and not isinstance(tap, str | tuple) and tap.adapter
    }
    assert adapters == {"fitnet": "conv1x1_without_bias", "featmse": "conv1x1", "featl2norm": "conv1x1"}


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_descriptor_is_short_and_says_where_it_comes_from(path):
    """At most sixty lines of at most 120 characters; all but the baseline name a repository and a commit."""
    lines = path.read_text().splitlines()
    method = read_method(path)
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 120
    assert len(method.notes) > 80
    if method.family != "baseline":
        assert method.reference is not None
        assert re.fullmatch(r"[0-9a-f]{7}", method.reference.commit)
