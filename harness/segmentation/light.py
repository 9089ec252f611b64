"""A small convolutional encoder and decoder, made for one core of a CPU."""

from torch import Tensor, nn
from torch.nn import functional

from harness.segmentation.staged import Staged


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; keeps the size at stride 1."""
    padding = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """x + two convolutions of x, of the same width."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape, N×C×H×W."""
        return functional.relu(features + self.norm(self.second(self.first(features))))


class Context(nn.Module):
    """Adds to every pixel a projection of the mean over the image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape, each knowing of all."""
        mean = features.mean(dim=(2, 3))  # N×C×H×W → N×C
        return functional.relu(features + self.project(mean)[:, :, None, None])


class Fuse(nn.Module):
    """Brings the deep features to the shallow ones' size and mixes both."""

    def __init__(self, shallow: int, deep: int, width: int) -> None:
        super().__init__()
        # Projected before it is enlarged: sixteen times fewer pixels.
        self.deep = nn.Conv2d(deep, width, 1, bias=False)
        self.shallow = nn.Conv2d(shallow, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.mix = convolution(width, width)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        """Features of the shallow ones' size and of the decoder's width."""
        enlarged = functional.interpolate(self.deep(deep), size=shallow.shape[2:], mode="bilinear", align_corners=False)
        mixed: Tensor = self.mix(functional.relu(self.norm(self.shallow(shallow) + enlarged)))
        return mixed


def light(
    classes: int,
    widths: tuple[int, int, int, int],
    decoder: int,
    dropout: float,
    blocks: tuple[int, int, int, int],
) -> Staged:
    """Stages of strides 2, 4, 8 and 16, and a decoder that joins the last with the second: logits at stride 4.

    Args:
        classes: how many channels the logits have.
        widths: how many channels each of the four stages has.
        decoder: the width of `decoded`.
        dropout: the share of `decoded`'s channels that the classifier does not see in training.
        blocks: how many residual blocks follow the strided convolution of each stage.

    """
    modules: dict[str, nn.Module] = {}
    for depth, (before, width, count) in enumerate(zip((3, *widths[:3]), widths, blocks, strict=True), start=1):
        # In the last stage every second block looks twice as far.
        dilations = [1 + (depth == 4) * (block % 2 == 0) for block in range(count)]
        residuals = [Residual(width, dilation) for dilation in dilations]
        context = [Context(width)] if depth == 4 else []
        modules[f"stage{depth}"] = nn.Sequential(convolution(before, width, stride=2), *residuals, *context)
    modules["decoded"] = Fuse(widths[1], widths[3], decoder)
    modules["decoded_dropped"] = nn.Dropout2d(dropout)
    modules["logits"] = nn.Conv2d(decoder, classes, 1)
    return Staged(
        modules,
        inputs={
            "stage1": ("image",),
            "stage2": ("stage1",),
            "stage3": ("stage2",),
            "stage4": ("stage3",),
            "decoded": ("stage2", "stage4"),
            "decoded_dropped": ("decoded",),
            "logits": ("decoded_dropped",),
        },
        channels={
            **{f"stage{depth}": width for depth, width in enumerate(widths, start=1)},
            "decoded": decoder,
            "decoded_dropped": decoder,
            "logits": classes,
        },
        stride=4,
    )
