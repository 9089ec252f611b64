"""Pictures for the page: what a run's networks predict of the first images that it is scored on."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.ledger.pictures import LONGEST_SIDE, SHOWN, Bytes, Scene
from harness.ledger.spec import RunSpec
from harness.ledger.workload import Workload
from harness.segmentation.data import Split
from harness.segmentation.evaluate import EVALUATION_BATCH, evaluate
from harness.segmentation.staged import Staged


class Predictions:
    """A network's, of the first images, as `evaluate` comes by them."""

    def __init__(self) -> None:
        self._maps: list[Tensor] = []

    def see(self, number: int, prediction: Tensor) -> None:
        """Keeps those of the first images, h×w, as large as they are shown; the device is not waited for."""
        if number < SHOWN:
            step = thinning(prediction.shape)
            self._maps.append(prediction[::step, ::step].to(torch.uint8))

    def maps(self) -> tuple[Bytes, ...]:
        """H×W each."""
        return tuple(found.cpu().numpy() for found in self._maps)


def are_wanted(spec: RunSpec) -> bool:
    """Whether pictures are kept: public ones, and private ones where a person asked. Trials stand on no page."""
    is_public = spec.ground.workload.pictures == "public"
    return spec.scored_on == "score" and (is_public or spec.extras.keeps_pictures)


def scene_of(
    teacher: Staged,
    split: Split,
    workload: Workload,
    device: torch.device,
    tell: Callable[[int], None] = lambda images: None,
) -> Scene:
    """The first images, their labels, and what the teacher predicts of them as it would be scored."""
    first = split.only(range(min(SHOWN, len(split.images))))
    taught = Predictions()
    evaluate(teacher, first, workload, device, EVALUATION_BATCH, tell, taught.see)
    labels = tuple(thinned(first.labels[number]) for number in range(len(first.labels)))
    images = tuple(resized(first.images[number], label) for number, label in enumerate(labels))
    return Scene(images, labels, taught.maps())


def thinning(size: tuple[int, ...]) -> int:
    """Of how many pixels one is shown, so that no side is too long."""
    return -(-max(size) // LONGEST_SIDE)


def thinned(label: Bytes) -> Bytes:
    """Every so manieth pixel: h×w → H×W."""
    step = thinning(label.shape)
    return label[::step, ::step]


def resized(image: Bytes, label: Bytes) -> Bytes:
    """The image at the size of its label: H×W×3."""
    height, width = label.shape
    if image.shape[:2] == (height, width):
        return image
    whole = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
