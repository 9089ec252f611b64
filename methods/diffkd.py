"""Knowledge diffusion, DiffKD (Huang, Zhang, Zheng, You, Wang, Qian and Xu, NeurIPS 2023, arXiv 2305.15712)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full
from harness.distill.shapes import expect_same_positions
from harness.ledger.errors import BadInput

FIRST_BETA, LAST_BETA = 1e-4, 0.02
TIMES = 1280
"""Rows of the released table of time embeddings."""


class Diffusion(LossModule):
    """The student's feature, denoised by what has learned to denoise the teacher's, against the teacher's.

    As hunto/image_classification_sota has it for features (lib/models/losses/diffkd, commit 6f7a70a). The target t* is
    the teacher's feature, or its latent where there is an autoencoder; the latter learns from its own part alone.

    Parts:
        kd: the mean of (r − t*)², r being the student's projection mixed with noise, denoised, convolved, normalised.
        diffusion: the mean of (ε(√ᾱ_k·t* + √(1−ᾱ_k)·n, k) − n)², the denoiser's own objective, k drawn an image.
        autoencoder: the mean of (decoded − F_T)².

    Settings:
        ae_channels: K, the latent's width; 0 is half the teacher's, which is the released 1024 for one of 2048.
        use_ae: whether there is an autoencoder; K is the teacher's width without one.
        kernel_size: of the middle convolution of the denoiser's and the noise adapter's blocks.
        inference_steps: of the deterministic DDIM, over the less noisy half of the times.
        num_train_timesteps: of the noise schedule, linear in β.
    """

    def __init__(
        self,
        *,
        parts: frozenset[str],
        student_channels: int,
        teacher_channels: int,
        ae_channels: int = 1024,
        use_ae: bool = True,
        kernel_size: int = 3,
        inference_steps: int = 5,
        num_train_timesteps: int = 1000,
    ) -> None:
        super().__init__()
        _expect_settings(kernel_size, inference_steps, num_train_timesteps)
        if "autoencoder" in parts and not use_ae:
            raise BadInput("diffkd: part 'autoencoder' with use_ae false: expected no such part, or its weight 0")
        self.parts = parts
        channels = (ae_channels or max(1, teacher_channels // 2)) if use_ae else teacher_channels
        self.ae = Autoencoder(teacher_channels, channels) if use_ae else None
        self.student_proj = nn.Conv2d(student_channels, channels, kernel_size=1)
        self.noise_adapter = NoiseAdapter(channels, kernel_size)
        self.denoiser = Denoiser(channels, kernel_size)
        self.out_conv = nn.Conv2d(channels, channels, kernel_size=1)
        self.out_norm = nn.BatchNorm2d(channels)
        self.schedule = Schedule(num_train_timesteps, inference_steps)

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> dict[str, Tensor]:
        """The wanted parts for B×C_S×h×w against B×C_T×h×w."""
        expect_same_positions(student, teacher)
        if student.shape[0] * student.shape[2] * student.shape[3] == 1:
            raise BadInput("diffkd: one image with one position: expected more, its batch norms have no variance")
        losses = {}
        target = full(teacher)
        if self.ae is not None:
            latent = self.ae.encode(teacher)
            target = full(latent).detach()  # the encoder learns from its own part alone
            if "autoencoder" in self.parts:
                losses["autoencoder"] = functional.mse_loss(full(self.ae.dec_conv(latent)), full(teacher))
        if "kd" in self.parts:
            losses["kd"] = functional.mse_loss(self.refine(student, draw), target)
        if "diffusion" in self.parts:
            losses["diffusion"] = self._denoising(target, draw)
        return losses

    def refine(self, student: Tensor, draw: Draw) -> Tensor:
        """B×C_S×h×w → r, B×K×h×w: every step is kept for the gradient, which reaches the denoiser too."""
        projected = full(self.student_proj(student))
        noise = draw.normal("noise_student", tuple(projected.shape))
        x = torch.lerp(noise, projected, self.noise_adapter(projected))
        for time, kept, added in self.schedule.steps:
            error = self.denoiser(x, self.denoiser.time_embedding[time, :, None, None])
            x = torch.add(kept * x, error, alpha=added)
        return full(self.out_norm(self.out_conv(x)))

    def _denoising(self, target: Tensor, draw: Draw) -> Tensor:
        """How far the denoiser is from the noise that was added to the target."""
        noise = draw.normal("noise_teacher", tuple(target.shape))
        times = draw.integers("timesteps", (len(target),), self.schedule.times)
        noisy = self.schedule.add(noise, target, times)
        found = self.denoiser(noisy, functional.embedding(times, self.denoiser.time_embedding)[:, :, None, None])
        return functional.mse_loss(found, noise)


class Schedule(nn.Module):
    """ᾱ, the share of the signal's variance at each time, computed in single precision as the released code does."""

    signal: Tensor

    def __init__(self, times: int, steps: int) -> None:
        super().__init__()
        self.times = times
        # On the CPU even where modules are made elsewhere: the steps read numbers from it.
        betas = torch.linspace(FIRST_BETA, LAST_BETA, times, dtype=torch.float32, device="cpu")
        signal = torch.cumprod(1 - betas, dim=0)
        self.register_buffer("signal", signal, persistent=False)
        stride = times // (2 * steps)
        signals = [1.0, *signal[: stride * steps : stride].tolist()]
        # As plain numbers: a step must not wait for the device.
        self.steps = tuple((step * stride, *_ddim(signals[step + 1], signals[step])) for step in reversed(range(steps)))

    def add(self, noise: Tensor, clean: Tensor, times: Tensor) -> Tensor:
        """√ᾱ·clean + √(1−ᾱ)·noise, with a time an image: B×K×h×w and B → B×K×h×w."""
        signal = self.signal[times, None, None, None]
        return signal.sqrt() * clean + (1 - signal).sqrt() * noise


def _ddim(signal: float, after: float) -> tuple[float, float]:
    """What a step without noise takes of x and of ε(x): √ᾱ′·(x − √(1−ᾱ)·ε)/√ᾱ + √(1−ᾱ′)·ε, gathered."""
    kept = (after / signal) ** 0.5
    return kept, (1 - after) ** 0.5 - kept * (1 - signal) ** 0.5


class Autoencoder(nn.Module):
    """From the teacher's width to the latent's and back."""

    def __init__(self, channels: int, latent_channels: int) -> None:
        super().__init__()
        self.enc_conv = nn.Conv2d(channels, latent_channels, kernel_size=1)
        self.enc_norm = nn.BatchNorm2d(latent_channels)
        self.dec_conv = nn.Conv2d(latent_channels, channels, kernel_size=1)

    def encode(self, feature: Tensor) -> Tensor:
        """B×C×h×w → B×K×h×w."""
        latent: Tensor = self.enc_norm(self.enc_conv(feature))
        return latent


class NoiseAdapter(nn.Module):
    """How much of each image's feature is kept when noise is mixed in: B×K×h×w → B×1×1×1, from 0 to 1."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.block = Bottleneck(channels, kernel_size, reduction=8)
        self.fc = nn.Linear(channels, 2)

    def forward(self, feature: Tensor) -> Tensor:
        """γ; the noise gets 1 − γ, no square roots."""
        pooled = full(self.block(feature)).mean(dim=(2, 3))
        return full(self.fc(pooled)).softmax(dim=1)[:, :1, None, None]


class Denoiser(nn.Module):
    """ε: what is noise in B×K×h×w."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.time_embedding = nn.Parameter(torch.randn(TIMES, channels))
        self.block0 = Bottleneck(channels, kernel_size, reduction=4)
        self.block1 = Bottleneck(channels, kernel_size, reduction=4)
        self.final_conv = nn.Conv2d(channels, channels, kernel_size=1)
        self.final_norm = nn.BatchNorm2d(channels)

    def forward(self, noisy: Tensor, time: Tensor) -> Tensor:
        """B×K×h×w and its time's embedding, K×1×1 or B×K×1×1 → B×K×h×w."""
        return full(self.final_norm(self.final_conv(self.block1(self.block0(noisy + time)))))


class Bottleneck(nn.Module):
    """A residual block of three convolutions, the middle one on a fraction of the channels: B×K×h×w → B×K×h×w."""

    def __init__(self, channels: int, kernel_size: int, reduction: int) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.conv1 = nn.Conv2d(channels, inner, kernel_size=1)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, kernel_size=kernel_size, padding=kernel_size // 2)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, kernel_size=1)
        self.norm3 = nn.BatchNorm2d(channels)

    def forward(self, feature: Tensor) -> Tensor:
        """The feature and what the convolutions add to it."""
        inner = functional.relu(self.norm1(self.conv1(feature)), inplace=True)
        inner = functional.relu(self.norm2(self.conv2(inner)), inplace=True)
        added: Tensor = self.norm3(self.conv3(inner))
        return feature + added


def _expect_settings(kernel_size: int, inference_steps: int, num_train_timesteps: int) -> None:
    """BadInput unless the convolution keeps the size and the steps fit the times."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise BadInput(f"diffkd: kernel_size: found {kernel_size}: expected an odd number")
    if not 1 <= num_train_timesteps <= TIMES:
        raise BadInput(f"diffkd: num_train_timesteps: found {num_train_timesteps}: expected from 1 to {TIMES}")
    if not 1 <= inference_steps <= num_train_timesteps // 2:
        raise BadInput(f"diffkd: inference_steps: found {inference_steps}: expected from 1 to half the times")
