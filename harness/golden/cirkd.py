"""The names of README-cirkd.md: what winycg/CIRKD's code gives for its own objectives and for those it copies."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from harness.golden.adversary import AdversarialObjective
from harness.golden.file import Golden
from harness.golden.objective import CIRKD, LOGITS_ONLY, EitherObjective, Objective, Part, Scene, TermsObjective
from harness.golden.task import TaskObjective
from harness.ledger.errors import BadInput
from harness.ledger.method import Setting

FEATURE = {"decoded_dropped": "feature"}
LABELS = {"ignore_label": 255, "num_classes": None, "order_free": None}
TEMPERATURES = {"contrast_temperature": "temperature", "contrast_kd_temperature": "kd_temperature"}
MEMORY_SIZES = {
    "pixel_memory_size": "pixel_size",
    "region_memory_size": "region_size",
    "pixel_update_freq": "pixels_an_image",
}
CHANNEL_SIZES = {
    "channel_memory_size": "channel_size",
    "channel_contrast_size": "channel_samples",
    "channel_update_freq": "channels_a_batch",
}
SAMPLED = dict.fromkeys(("pixel_contrast_size", "region_contrast_size"))
"""Slots of each class, which settings give for all classes together."""


class DoubleSimilarityObjective(TermsObjective):
    """DSD, whose lists may hold one tensor twice."""

    def meaningless(self, golden: Golden) -> frozenset[str]:
        """All gradients of the shared tensor, which the released arithmetic wipes out."""
        if not golden.setting("shared_first_and_last"):
            return frozenset()
        kinds = ("grad", "grad_term/psd", "grad_term/csd")
        return frozenset(f"{kind}/student_list/{place}" for kind in kinds for place in (0, 2))


def _lists(golden: Golden) -> Mapping[str, str]:
    """Three maps, or two of a network without an auxiliary head."""
    stages = ("aux_logits", "decoded_dropped", "logits")
    names = stages if "student_list/2" in golden.arrays else stages[1:]
    return {stage: f"list/{place}" for place, stage in enumerate(names)}


def _whole(name: str) -> Part:
    """The only loss of a file that holds nothing but its total."""
    return Part(name, is_stored=False)


def _classes(golden: Golden) -> int:
    """How many queues there are: the memory stands alone in some files, and among others in some."""
    alone, among_others = "queue/pixel_queue_ptr", "queue/memory.pixel_queue_ptr"
    return len(golden.whole(among_others if among_others in golden.arrays else alone))


def _samples(name: str) -> Callable[[Golden], Setting]:
    """The setting that makes ⌊samples/K⌋ + 1 what the file has of each class."""

    def samples(golden: Golden) -> Setting:
        return int(golden.number(f"{name}_contrast_size") - 1) * _classes(golden)

    return samples


SAMPLES = {"pixel_samples": _samples("pixel"), "region_samples": _samples("region")}


def _memory_draws(golden: Golden) -> Mapping[str, Tensor]:
    """The pixels that each image gives to each class's queue, and the slots that are looked at."""
    table = golden.whole("random/enqueue_image_class_count")
    feature = golden.tensor("teacher_feature")
    classes = _classes(golden)
    width = min(int(golden.number("pixel_update_freq")), feature[0, 0].numel())
    drawn = {f"enqueue/{image}": torch.zeros(classes, width, dtype=torch.int64) for image in range(len(feature))}
    for row, (image, own, _) in enumerate(table.tolist()):
        chosen = golden.whole(f"random/enqueue_perm/{row}")
        if f"enqueue/{image}" not in drawn or not 0 <= own < classes or len(chosen) > width:
            raise BadInput(f"random/enqueue_image_class_count: row {row} fits no image, class or number of pixels")
        drawn[f"enqueue/{image}"][own, : len(chosen)] = chosen
    return drawn | {name: golden.whole(f"random/{name}") for name in ("pixel_index", "region_index")}


def _channel_draws(golden: Golden) -> Mapping[str, Tensor]:
    """The rows that are written to the queue, and the slots that are looked at."""
    written = "random/channel_enqueue_perm" if "random/channel_enqueue_perm" in golden.arrays else "random/enqueue_perm"
    return {
        "channel_enqueue_perm": golden.whole(written),
        "channel_index": golden.whole("random/channel_index"),
    }


def _refined(scene: Scene) -> Mapping[str, Tensor]:
    """What the context module makes of the student's features; in train mode it does not depend on what ran before."""
    term = len(scene.distiller.terms) - 1
    context = scene.distiller.get_submodule(f"terms.{term}.loss.gcn")
    return {"output/refined_feature": context(scene.student["decoded_dropped"])}


def _queues(prefix: str, names: tuple[str, ...], own: str) -> Mapping[str, str]:
    return {f"{prefix}{name}": f"{own}{name}" for name in names}


QUEUES = ("teacher_segment_queue", "teacher_pixel_queue", "segment_queue_ptr", "pixel_queue_ptr")
CHANNEL_QUEUES = ("teacher_channel_queue", "channel_queue_ptr")
NORM = ("project_head.1.running_mean", "project_head.1.running_var")
CONTEXT_NORMS = tuple(f"gcn.{conv}.1.running_{kind}" for conv in ("conv1", "out_conv") for kind in ("mean", "var"))
V2_QUEUES = (*(f"memory.{name}" for name in QUEUES), *(f"channel.{name}" for name in CHANNEL_QUEUES))
V2_PARTS = {
    "fitnet": "fitnet",
    "minibatch_pixel": "minibatch",
    "memory_pixel": "pixel",
    "memory_region": "region",
    "minibatch_channel": "channel_minibatch",
    "memory_channel": "channel_memory",
    "channel_mse": "channel_mse",
}

CIRKD_OBJECTIVES: Mapping[str, Objective] = {
    "task": TaskObjective(),
    "kd": TermsObjective(
        CIRKD, "kd", LOGITS_ONLY, parts={"total": _whole("kl@logits")}, settings={"temperature": "temperature"}
    ),
    "fitnet": TermsObjective(
        CIRKD,
        "fitnet",
        FEATURE,
        parts={"total": _whole("mse@decoded_dropped")},
        parameters={"conv.weight": "terms.0.adapters.0.weight"},
    ),
    "at": TermsObjective(CIRKD, "at", FEATURE, parts={"total": _whole("attention_transfer@decoded_dropped")}),
    "skd": TermsObjective(
        CIRKD,
        "skd",
        FEATURE,
        parts={"total": _whole("pairwise@decoded_dropped")},
        settings={"pool_kernel": "pool"},
    ),
    "adv": AdversarialObjective(),
    "ifvd": TermsObjective(
        CIRKD,
        "ifvd",
        FEATURE,
        parts={"total": _whole("FeatureVariation@decoded_dropped")},
        facts=LABELS,
        unread=("check/",),
        classes="num_classes",
        has_labels=True,
    ),
    "cwd": EitherObjective(
        "student_logits",
        TermsObjective(
            CIRKD,
            "cwd_cirkd",
            LOGITS_ONLY,
            parts={"total": _whole("channel_divergence@logits")},
            settings={"temperature": "temperature"},
        ),
        TermsObjective(
            CIRKD,
            "cwd_cirkd",
            FEATURE,
            parts={"total": _whole("UnprojectedMeanDivergence@decoded_dropped")},
            settings={"temperature": "temperature"},
            parameters={"": "terms.0.loss."},
        ),
    ),
    "dsd": DoubleSimilarityObjective(
        CIRKD,
        "dsd",
        _lists,
        parts={
            "psd": Part("pixel_similarity@decoded_dropped", "lambda_psd"),
            "csd": Part("class_similarity@logits", "lambda_csd"),
        },
        settings={"tau_csd": "temperature", "pool_kernel_csd": "pool"},
        facts={"shared_first_and_last": None},
    ),
    "cirkd_minibatch": TermsObjective(
        CIRKD,
        "cirkd",
        FEATURE,
        parts={"total": _whole("minibatch@decoded_dropped")},
        settings={"temperature": "temperature"},
    ),
    "cirkd_memory": TermsObjective(
        CIRKD,
        "cirkd",
        FEATURE,
        parts={
            "memory_pixel": Part("pixel@decoded_dropped", "lambda_memory_pixel"),
            "memory_region": Part("region@decoded_dropped", "lambda_memory_region"),
        },
        settings=TEMPERATURES | MEMORY_SIZES,
        derived=SAMPLES,
        facts=LABELS | SAMPLED,
        parameters={"project_head.": "terms.0.loss.project_head."},
        state=_queues("queue/", QUEUES, "terms.0.loss."),
        after={**_queues("queue_after/", QUEUES, "terms.0.loss."), **_queues("buffer_after/", NORM, "terms.0.loss.")},
        draws=_memory_draws,
        unread=("check/",),
        classes="num_classes",
        has_labels=True,
    ),
    "cirkd_channel": TermsObjective(
        CIRKD,
        "cirkdv2",
        FEATURE,
        parts={
            "minibatch_channel": Part("channel_minibatch@decoded_dropped", "lambda_minibatch_channel"),
            "memory_channel": Part("channel_memory@decoded_dropped", "lambda_memory_channel"),
            "channel_mse": Part("channel_mse@decoded_dropped", "lambda_channel_kd"),
        },
        settings=TEMPERATURES | CHANNEL_SIZES,
        derived={"context": lambda _: False},
        facts={"pool_kernel": 4, "order_free": None},
        parameters={"project_head.": "terms.0.loss.channel.project_head."},
        state=_queues("queue/", CHANNEL_QUEUES, "terms.0.loss.channel."),
        after={
            **_queues("queue_after/", CHANNEL_QUEUES, "terms.0.loss.channel."),
            **_queues("buffer_after/", NORM, "terms.0.loss.channel."),
        },
        draws=_channel_draws,
    ),
    "gcn": TermsObjective(
        CIRKD,
        "cirkdv2",
        FEATURE,
        parts={"total": _whole("fitnet@decoded_dropped")},
        parameters={"gcn.": "terms.0.loss.gcn.", "fitnet.": "terms.0.loss.fitnet."},
        after=_queues("buffer_after/", CONTEXT_NORMS, "terms.0.loss."),
        outputs=_refined,
    ),
    "cirkdv2": TermsObjective(
        CIRKD,
        "cirkdv2",
        {**LOGITS_ONLY, **FEATURE},
        parts={
            "kd": Part("kl@logits", "lambda_kd"),
            **{name: Part(f"{own}@decoded_dropped", f"lambda_{name}") for name, own in V2_PARTS.items()},
        },
        settings={"kd_temperature": "kl.temperature", **TEMPERATURES, **MEMORY_SIZES, **CHANNEL_SIZES},
        derived=SAMPLES,
        facts=LABELS | SAMPLED,
        parameters={"": "terms.1.loss."},
        state=_queues("queue/", V2_QUEUES, "terms.1.loss."),
        after=_queues("queue_after/", V2_QUEUES, "terms.1.loss."),
        draws=lambda golden: {**_memory_draws(golden), **_channel_draws(golden)},
        outputs=_refined,
        has_labels=True,
        has_task=True,
    ),
}
