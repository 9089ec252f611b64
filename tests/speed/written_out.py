"""The mathematics of some losses written out the plain way, as released code has it, on the parameters of ours.

Where a loss is mostly convolutions, a ratio to cross-entropy says more about the machine than about the loss. These are
measured in the same process as ours, in turns, so that one number settles the comparison. Each gives one loss for each
of the distiller's names, to rounding the same one. What is written here is read from the formulas, and the habits (a
softmax followed by its logarithm, masks made anew, tensors gathered by boolean masks) from the descriptions of the
released code; layers are those of the distiller, called one by one.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.distill.distiller import Distiller
from harness.distill.draw import Draw

Stages = Mapping[str, Tensor]
WrittenOut = Callable[[Distiller, Stages, Stages, Draw], tuple[Tensor, ...]]


def kl(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Channels last, then rows of classes."""
    classes = student["logits"].shape[1]
    rows = [stage["logits"].permute(0, 2, 3, 1).reshape(-1, classes) for stage in (student, teacher)]
    log_p_student = functional.log_softmax(rows[0], dim=1)
    p_teacher = functional.softmax(rows[1], dim=1)
    return (functional.kl_div(log_p_student, p_teacher, reduction="batchmean"),)


def maps_divergence(student: Tensor, teacher: Tensor, temperature: float, channels: int | None = None) -> Tensor:
    """τ²/(B·C) · Σ KL over positions, the student's logarithm taken of its softmax."""
    images, own, *_ = student.shape
    p_student = functional.softmax(student.flatten(2) / temperature, dim=2)
    p_teacher = functional.softmax(teacher.flatten(2) / temperature, dim=2)
    divergence = functional.kl_div(p_student.log(), p_teacher, reduction="sum")
    return temperature**2 * divergence / (images * (channels or own))


def log_maps_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The same with log-softmaxes, as mmrazor has it."""
    images, channels, height, width = student.shape
    rows_student = student.view(-1, height * width) / temperature
    rows_teacher = teacher.view(-1, height * width) / temperature
    p_teacher = functional.softmax(rows_teacher, dim=1)
    logs = functional.log_softmax(rows_teacher, dim=1), functional.log_softmax(rows_student, dim=1)
    divergence = (p_teacher * logs[0] - p_teacher * logs[1]).sum()
    return temperature**2 * divergence / (images * channels)


def cwd_logits(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Temperature 4."""
    return (maps_divergence(student["logits"], teacher["logits"], 4.0),)


def cwd_logits_mmrazor(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Temperature 1."""
    return (log_maps_divergence(student["logits"], teacher["logits"], 1.0),)


def cwd_features_cirkd(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """A projection, and the mean over the student's own channels."""
    ours, theirs = student["decoded_dropped"], teacher["decoded_dropped"]
    projected = loss_of(distiller).conv(ours)
    return (maps_divergence(projected, theirs, 4.0, channels=ours.shape[1]),)


def cwd_features_mmrazor(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """A projection with a bias, temperature 1."""
    return (log_maps_divergence(projected_stage4(distiller, student), teacher["stage4"], 1.0),)


def cwd_features(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """A projection, a batch norm by |γ| + ε, a leaky activation and a ReLU."""
    projection = loss_of(distiller).projection
    scale = projection.norm.weight.abs() + 1e-5
    features = projection.conv(student["decoded_dropped"])
    features = functional.batch_norm(features, None, None, scale, projection.norm.bias, training=True, eps=1e-5)
    features = functional.relu(functional.leaky_relu(features, 0.01))
    return (maps_divergence(features, teacher["decoded_dropped"], 4.0),)


def feature_mse(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """A projection and the mean of squares."""
    (stage,) = student
    projected = adapter_of(distiller)(student[stage])
    return (functional.mse_loss(projected, teacher[stage]),)


def pixel_directions(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Both features normalised, and their squared distance."""
    ours = functional.normalize(projected_stage4(distiller, student), p=2, dim=1)
    theirs = functional.normalize(teacher["stage4"], p=2, dim=1)
    return (functional.mse_loss(ours, theirs, reduction="sum") / (ours.shape[0] * ours.shape[1]),)


def image_directions(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Both features divided by each image's norm, and their squared distance."""
    ours, theirs = projected_stage4(distiller, student), teacher["stage4"]
    # Not Tensor.norm, whose single-precision sum of four million squares is off by 3e-5.
    ours, theirs = (x / x.pow(2).sum(dim=(1, 2, 3), keepdim=True).sqrt() for x in (ours, theirs))
    return ((ours - theirs).pow(2).sum() / len(ours),)


def attention_maps(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Mean squares over channels, unit vectors over positions."""
    maps = [functional.normalize(x["decoded_dropped"].pow(2).mean(1).flatten(1)) for x in (student, teacher)]
    return ((maps[0] - maps[1]).pow(2).mean(),)


def masked_generation(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Project, mask, generate, the sum of squares by images; and channels of logits."""
    loss = loss_of(distiller)
    features = generated(loss, student["stage4"], draw)
    squares = functional.mse_loss(features, teacher["stage4"], reduction="sum") / len(features)
    return squares, maps_divergence(student["logits"], teacher["logits"], 4.0)


def generated(loss: Any, feature: Tensor, draw: Draw) -> Tensor:
    """Two convolutions on what three quarters of the positions have been taken out of."""
    aligned = loss.align(feature)
    images, _, height, width = aligned.shape
    numbers = draw.uniform("uniform", (images, 1, height, width))
    mask = torch.where(numbers > 1 - 0.75, 0, 1)
    masked = torch.mul(aligned, mask)
    inner = functional.relu(loss.generator.conv1(masked), inplace=True)
    return loss.generator.conv2(inner)


def dense_contrast(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """The generated feature's squares; and in patches of the pooled one all distances, gathered by boolean masks."""
    features = generated(loss_of(distiller), student["stage4"], draw)
    squares = functional.mse_loss(features, teacher["stage4"], reduction="sum") / len(features)
    groups, positions, tau = 16, 16, 0.07
    pooled = [functional.max_pool2d(x, kernel_size=4, stride=4) for x in (features, teacher["stage4"])]
    anchors, candidates = (in_patches(x, groups, 4) for x in pooled)  # patches × (M·N) × D
    similarity = -torch.cdist(anchors, candidates, p=1) / tau
    # As released the masks are made anew each time.
    group = torch.arange(groups).reshape(-1, 1)
    group = torch.cat([group] * positions, dim=1).reshape(-1)
    others = (group[:, None] != group[None, :]).to(similarity.device)
    itself = torch.eye(groups * positions).bool().to(similarity.device)
    patches, vectors, _ = similarity.shape
    positive = similarity[itself.expand_as(similarity)].view(patches, vectors, 1)
    negatives = similarity[others.expand_as(similarity)].view(patches, vectors, -1)
    log_p = functional.log_softmax(torch.cat([positive, negatives], dim=2), dim=2)
    images, _, height, width = pooled[0].shape
    return squares, -log_p[:, :, 0].sum() / (height * width) / images


def in_patches(feature: Tensor, groups: int, side: int) -> Tensor:
    """B×C×h×w → patches × (M·N) × D, groups outermost."""
    images, channels, height, width = feature.shape
    feature = feature.view(images, groups, channels // groups, height // side, side, width // side, side)
    feature = feature.permute(0, 3, 5, 1, 4, 6, 2).contiguous()
    return feature.view(-1, groups * side * side, channels // groups)


def diffusion(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """An autoencoder, five steps of DDIM as they are written in its paper, and the denoiser's own loss."""
    loss, original = loss_of(distiller), teacher["stage4"]
    latent = loss.ae.enc_norm(loss.ae.enc_conv(original))
    reconstruction = functional.mse_loss(original, loss.ae.dec_conv(latent))
    target = latent.detach()
    signal = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), dim=0)

    projected = loss.student_proj(student["stage4"])
    noise = draw.normal("noise_student", tuple(projected.shape))
    adapted = functional.adaptive_avg_pool2d(bottleneck(loss.noise_adapter.block, projected), 1).flatten(1)
    share = functional.softmax(loss.noise_adapter.fc(adapted), dim=1)[:, 0].view(-1, 1, 1, 1)
    x = share * projected + (1 - share) * noise
    for time in (400, 300, 200, 100, 0):
        here, after = signal[time], signal[time - 100] if time else torch.tensor(1.0)
        error = denoised(loss.denoiser, x, torch.full((len(x),), time))
        clean = (x - (1 - here).sqrt() * error) / here.sqrt()
        x = after.sqrt() * clean + (1 - after).sqrt() * error
    refined = loss.out_norm(loss.out_conv(x))

    noise = draw.normal("noise_teacher", tuple(target.shape))
    times = draw.integers("timesteps", (len(target),), 1000)
    here = signal[times].view(-1, 1, 1, 1)
    found = denoised(loss.denoiser, here.sqrt() * target + (1 - here).sqrt() * noise, times)
    return functional.mse_loss(refined, target), functional.mse_loss(found, noise), reconstruction


def denoised(denoiser: Any, x: Tensor, times: Tensor) -> Tensor:
    """The denoiser's layers, one after the other."""
    x = x + denoiser.time_embedding[times][:, :, None, None]
    x = bottleneck(denoiser.block1, bottleneck(denoiser.block0, x))
    return denoiser.final_norm(denoiser.final_conv(x))


def bottleneck(block: Any, x: Tensor) -> Tensor:
    """1×1, 3×3 and 1×1, each with a batch norm, and what came in."""
    inner = functional.relu(block.norm1(block.conv1(x)), inplace=True)
    inner = functional.relu(block.norm2(block.conv2(inner)), inplace=True)
    return x + block.norm3(block.conv3(inner))


def fused_stages(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Stages fused from the deepest up, compared at four resolutions; and projected embeddings."""
    layers, fused, total = loss_of(distiller).stage, None, 0
    for depth in (3, 2, 1, 0):
        layer, theirs = layers[depth], teacher[f"stage{depth + 1}"]
        x = layer.reduce_norm(layer.reduce_conv(student[f"stage{depth + 1}"]))
        if fused is not None:
            y = functional.interpolate(fused, size=x.shape[2:], mode="nearest")
            z = functional.adaptive_avg_pool2d(x + y, 1)
            z = functional.relu(layer.att_norm(layer.att_conv(z)))
            z = functional.softmax(torch.stack([layer.att_branch0(z), layer.att_branch1(z)], dim=1), dim=1)
            x = x * z[:, 0] + y * z[:, 1]
        fused = x
        output = layer.out_norm(layer.out_conv(x))
        loss, weight, weights = functional.mse_loss(output, theirs), 1.0, 1.0
        for level in (4, 2, 1):
            if level >= output.shape[2]:
                continue
            ours_pooled = functional.adaptive_avg_pool2d(output, (level, level))
            theirs_pooled = functional.adaptive_avg_pool2d(theirs, (level, level))
            weight /= 2
            loss = loss + functional.mse_loss(ours_pooled, theirs_pooled) * weight
            weights += weight
        total = total + loss / weights
    linear: Any = loss_of(distiller, 1).embed_proj
    embedded = 0
    for depth, weight in enumerate((0.1, 0.1, 0.5, 1.0)):
        name = f"embedding{depth + 1}"
        embedded = embedded + weight * functional.mse_loss(linear[depth](student[name]), teacher[name])
    return total, embedded


def fooled(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """What the student's logits score."""
    return (-scores(loss_of(distiller).discriminator, student["logits"]).mean(),)


def discriminator_step(distiller: Distiller, student: Stages, teacher: Stages, draw: Draw) -> tuple[Tensor, ...]:
    """Hinge losses of two passes of the discriminator, one a network, and a step of Adam; no loss is left to give."""
    adversarial = loss_of(distiller)
    discriminator = adversarial.discriminator.requires_grad_(True)
    adversarial.optimizer.zero_grad()
    ours = functional.relu(1 + scores(discriminator, student["logits"].detach())).mean()
    theirs = functional.relu(1 - scores(discriminator, teacher["logits"])).mean()
    (0.1 * (theirs + ours)).backward()
    adversarial.optimizer.step()
    discriminator.requires_grad_(False)
    return ()


def scores(discriminator: Any, logits: Tensor) -> Tensor:
    """Layer after layer, weights divided by their singular values first."""
    x = discriminator.preprocess_additional(logits)
    for layer in (discriminator.l1, discriminator.l2, discriminator.l3):
        x = functional.leaky_relu(spectral(layer, x), 0.1)
    x = attended(discriminator.attn1, x)
    x = functional.leaky_relu(spectral(discriminator.l4, x), 0.1)
    return discriminator.last(attended(discriminator.attn2, x))


def spectral(layer: Any, x: Tensor) -> Tensor:
    """A step of power iteration, and the convolution."""
    matrix = layer.weight_bar.view(layer.weight_bar.shape[0], -1)
    v = torch.mv(matrix.data.t(), layer.weight_u)
    v = v / (v.norm() + 1e-12)
    u = torch.mv(matrix.data, v)
    u = u / (u.norm() + 1e-12)
    layer.weight_u = u
    sigma = u.dot(matrix.mv(v))
    return functional.conv2d(x, layer.weight_bar / sigma, layer.bias, stride=2, padding=1)


def attended(layer: Any, x: Tensor) -> Tensor:
    """What each position gathers from all others."""
    images, channels, height, width = x.shape
    query = layer.query_conv(x).view(images, -1, height * width).permute(0, 2, 1)
    key = layer.key_conv(x).view(images, -1, height * width)
    attention = functional.softmax(torch.bmm(query, key), dim=-1)
    value = layer.value_conv(x).view(images, -1, height * width)
    out = torch.bmm(value, attention.permute(0, 2, 1)).view(images, channels, height, width)
    return layer.gamma * out + x


def loss_of(distiller: Distiller, term: int = 0) -> Any:
    """A term's own loss, a class of the method's file."""
    return distiller.get_submodule(f"terms.{term}.loss")


def adapter_of(distiller: Distiller) -> torch.nn.Module:
    """The first term's projection."""
    return distiller.get_submodule("terms.0.adapters.0")


def projected_stage4(distiller: Distiller, student: Stages) -> Tensor:
    """In the teacher's width."""
    return adapter_of(distiller)(student["stage4"])


WRITTEN_OUT: Mapping[str, WrittenOut] = {
    "kd": kl,
    "cwd_cirkd, logits": cwd_logits,
    "cwd_cirkd, features": cwd_features_cirkd,
    "at": attention_maps,
    "adversarial, student": fooled,
    "adversarial, discriminator": discriminator_step,
    "fitnet": feature_mse,
    "cwd_mmrazor": cwd_logits_mmrazor,
    "cwd": cwd_logits,
    "featmse": feature_mse,
    "cwd_mmrazor_feature": cwd_features_mmrazor,
    "featpixnorm": pixel_directions,
    "featl2norm": image_directions,
    "cwd_feature": cwd_features,
    "transkd": fused_stages,
    "diffkd": diffusion,
    "mgd": masked_generation,
    "afdcd": dense_contrast,
}
"""By the rows of losses.py."""
