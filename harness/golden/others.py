"""The names of README-others.md: what the authors' own repositories and mmrazor give."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from harness.distill.draw import StoredDraw
from harness.golden.file import Golden
from harness.golden.objective import LOGITS_ONLY, OTHERS, Objective, Part, Scene, TermsObjective
from harness.golden.tokens import MaskedLogitsObjective, PromptObjective
from methods.bpkd import edge_mask
from methods.maskd import token_masks

LAST_STAGE = {"stage4": "feature"}
ALIGN = {"align.": "terms.0.adapters.0."}
WIDTHS = dict.fromkeys(("student_channels", "teacher_channels"))


def _whole(name: str, weight: float | str = 1.0) -> Mapping[str, Part]:
    """The only loss of a file that holds nothing but its total."""
    return {"total": Part(name, weight, is_stored=False)}


def _keep_mask(golden: Golden) -> Mapping[str, Tensor]:
    """The uniform draws behind a mask, where it is a random one."""
    return {"uniform": golden.tensor("random/uniform")} if "random/uniform" in golden.arrays else {}


def _noise(golden: Golden) -> Mapping[str, Tensor]:
    """Both noises, and each image's time."""
    noises = {name: golden.tensor(f"random/{name}") for name in ("noise_student", "noise_teacher")}
    return noises | {"timesteps": golden.whole("random/timesteps")}


def _masks(scene: Scene) -> Mapping[str, Tensor]:
    tokens = scene.distiller.get_parameter("terms.0.loss.mask_token")
    return {"output/mask": token_masks(tokens, scene.teacher["logits"])}


def _edges(scene: Scene) -> Mapping[str, Tensor]:
    _, classes, height, width = scene.student["logits"].shape
    kernel = int(scene.golden.number("edge_kernel"))
    return {"output/edge_mask": edge_mask(scene.labels, classes, (height, width), kernel)}


def _refined(scene: Scene) -> Mapping[str, Tensor]:
    """The denoised student and what it is compared with; batch norms see a batch, so that asking again is no harm."""
    loss: Any = scene.distiller.get_submodule("terms.0.loss")  # a class of the method's own file
    teacher = scene.teacher["stage4"]
    target = teacher if loss.ae is None else loss.ae.encode(teacher)
    return {
        "output/refined": loss.refine(scene.student["stage4"], StoredDraw(_noise(scene.golden))),
        "output/target": target,
    }


def _places(golden: Golden) -> Mapping[str, str]:
    """Features at one place or at three: any stages will do."""
    return {f"stage{place + 1}": f"feature_{place}" for place in range(3)}


def _levels(golden: Golden) -> Mapping[str, str]:
    """Four stages, and the patch embeddings before them."""
    stages = {f"stage{depth + 1}": f"feature_{depth}" for depth in range(4)}
    return stages | {f"embedding{depth + 1}": f"embedding_{depth}" for depth in range(4)}


OTHER_OBJECTIVES: Mapping[str, Objective] = {
    "cwd-author-logits": TermsObjective(
        OTHERS,
        "cwd",
        LOGITS_ONLY,
        parts={"cwd": Part("channel_divergence@logits", "loss_weight")},
        settings={"norm_type": "norm", "divergence": "divergence", "temperature": "temperature"},
    ),
    "cwd-mmrazor-logits": TermsObjective(
        OTHERS,
        "cwd_mmrazor",
        LOGITS_ONLY,
        parts=_whole("channel_divergence@logits", "loss_weight"),
        settings={"temperature": "temperature"},
    ),
    "cwd-mmrazor-feat": TermsObjective(
        OTHERS,
        "cwd_mmrazor_feature",
        LAST_STAGE,
        parts=_whole("channel_divergence@stage4", "loss_weight"),
        settings={"temperature": "temperature"},
        parameters=ALIGN,
    ),
    "cwd-author-feat": TermsObjective(
        OTHERS,
        "cwd_feature",
        {"decoded_dropped": "feature"},
        parts={"cwd": Part("ProjectedDivergence@decoded_dropped", "loss_weight")},
        settings={"norm_type": "norm", "divergence": "divergence", "temperature": "temperature"},
        parameters={"": "terms.0.loss."},
    ),
    "dist": TermsObjective(
        OTHERS,
        "dist",
        LOGITS_ONLY,
        parts={"inter": Part("inter@logits", "beta"), "intra": Part("intra@logits", "gamma")},
    ),
    "maskd-distill": TermsObjective(
        OTHERS,
        "maskd",
        LOGITS_ONLY,
        parts=_whole("MaskedDistillation@logits", "loss_weight"),
        settings={"num_tokens": "num_tokens"},
        parameters={"mask_token": "terms.0.loss.mask_token"},
        outputs=_masks,
    ),
    "maskd-mask": MaskedLogitsObjective(),
    "maskd-feat": TermsObjective(
        OTHERS,
        "maskd_feature",
        LAST_STAGE,
        parts=_whole("MaskedFeatures@stage4", "loss_weight"),
        settings={"num_tokens": "num_tokens", "use_student_mask": "use_student_mask"},
        parameters={**ALIGN, "mask_token": "terms.0.loss.mask_token", "token_weight.": "terms.0.loss.token_weight."},
        untouched=("terms.0.loss.classifier.",),
    ),
    "mgd": TermsObjective(
        OTHERS,
        "mgd",
        {**LAST_STAGE, **LOGITS_ONLY},
        parts={
            "feature": Part("MaskedGeneration@stage4", "alpha", stored_weighted=True),
            "logit": Part("channel_divergence@logits", "logit_weight", stored_weighted=True),
        },
        settings={"mask_ratio": "mask_ratio", "logit_temperature": "temperature"},
        parameters={"": "terms.0.loss."},
        draws=_keep_mask,
    ),
    "afdcd": TermsObjective(
        OTHERS,
        "afdcd",
        LAST_STAGE,
        parts={
            "fd": Part("feature@stage4", "weight_fd"),
            "contrastive": Part("contrastive@stage4", "weight_contrastive"),
        },
        settings={
            name: name
            for name in (
                *("tau", "channel_groups", "pool_size", "patch_size"),
                *("random_mask", "mask_ratio", "enhanced_projector"),
            )
        },
        facts=WIDTHS,
        parameters={"": "terms.0.loss."},
        draws=_keep_mask,
    ),
    "freekd": TermsObjective(
        OTHERS,
        "freekd",
        LAST_STAGE,
        parts={
            "freq": Part("freq@stage4", "weight_freq", stored_weighted=True),
            "mse": Part("mse@stage4", "weight_mse", stored_weighted=True),
        },
        settings={"num_tokens": "num_tokens", "levels": "levels"},
        facts={"wavelet": "haar"},
        parameters={**ALIGN, "mask_token": "terms.0.loss.mask_token"},
        untouched=("terms.0.loss.classifier.",),
    ),
    "freekd-prompt": PromptObjective(),
    "attnfd": TermsObjective(
        OTHERS,
        "attnfd",
        _places,
        parts=_whole("ReleasedAttentionDistance@stage4", "attn_lambda"),
        facts=WIDTHS,
        places=("stage1", "stage2", "stage3"),
        parameters={"": "terms.0.loss."},
    ),
    "pkd": TermsObjective(
        OTHERS,
        "pkd",
        LAST_STAGE,
        parts=_whole("pearson@stage4", "loss_weight"),
        settings={"resize_student": "resize_student"},
    ),
    "featmse": TermsObjective(
        OTHERS, "featmse", LAST_STAGE, parts=_whole("mse@stage4", "loss_weight"), parameters=ALIGN
    ),
    "featl2norm": TermsObjective(
        OTHERS,
        "featl2norm",
        LAST_STAGE,
        parts=_whole("normalized_l2@stage4", "loss_weight"),
        settings={name: name for name in ("normalize", "mult", "div_element", "dist")},
    ),
    "featpixnorm": TermsObjective(
        OTHERS, "featpixnorm", LAST_STAGE, parts=_whole("normalized_pixels@stage4", "loss_weight")
    ),
    "bpkd-reconstructed": TermsObjective(
        OTHERS,
        "bpkd",
        LOGITS_ONLY,
        parts={"edge": Part("edge@logits", "weight_edge"), "body": Part("body@logits", "weight_body")},
        settings={name: name for name in ("edge_kernel", "temperature", "alpha")},
        facts={"ignore_index": 255},
        outputs=_edges,
        has_labels=True,
    ),
    "diffkd": TermsObjective(
        # The noise schedule is single precision in the reference.
        replace(OTHERS, loss=1e-7),
        "diffkd",
        LAST_STAGE,
        parts={name: Part(f"{name}@stage4") for name in ("kd", "diffusion", "autoencoder")},
        settings={
            name: name for name in ("ae_channels", "kernel_size", "inference_steps", "num_train_timesteps", "use_ae")
        },
        facts={**WIDTHS, "temperature": 1.0},
        parameters={"": "terms.0.loss."},
        draws=_noise,
        outputs=_refined,
    ),
    "transkd": TermsObjective(
        OTHERS,
        "transkd",
        _levels,
        parts={"hcl": Part("Fusion@stage1", "weight_hcl"), "embed": Part("Embeddings@embedding1")},
        settings={"mid_channels": "mid_channels", "embed_weights": "embed_weights"},
        facts=WIDTHS,
        parameters={"embed_proj.": "terms.1.loss.embed_proj.", "": "terms.0.loss."},
        without_gradient=tuple(f"param/stage.{depth}.att_conv_batch1.weight" for depth in range(3)),
    ),
    "aicsd": TermsObjective(
        OTHERS,
        "aicsd",
        LOGITS_ONLY,
        parts={
            "interclass": Part("interclass@logits", "lo_lambda", stored_weighted=True),
            "pixel": Part("pixel@logits", "pi_lambda", stored_weighted=True),
        },
        # The files' logits are those of the input's size already.
        derived={"enlarged": lambda _: False},
        facts={"ic_lambda": None},
        # A term that the released code computes and adds to nothing.
        unread=("loss/unused_ic", "grad_term/unused_ic/"),
    ),
}
