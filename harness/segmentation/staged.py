"""A network as named stages, of which a call runs only those that its caller wants."""

import copy
from collections.abc import Mapping
from difflib import get_close_matches

import torch
from torch import Tensor, nn

IMAGE = "image"


class Staged(nn.Module):
    """Stages in order, each fed by named earlier ones; `"image"` is what the network is given.

    Args:
        modules: the stages, in the order in which they run.
        inputs: for each stage what it is called with: names of earlier stages or `"image"`.
        channels: for each stage how many channels it returns.
        stride: how many pixels of the image one pixel of the logits stands for, along each side.

    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        inputs: Mapping[str, tuple[str, ...]],
        channels: Mapping[str, int],
        stride: int,
    ) -> None:
        super().__init__()
        earlier = {IMAGE}
        for stage in modules:
            for name, given in (("inputs", inputs), ("channels", channels)):
                if stage not in given:
                    raise ValueError(f"stage {stage!r} has no {name}")
            if late := [source for source in inputs[stage] if source not in earlier]:
                raise ValueError(f"stage {stage!r} reads {late[0]!r}, which is no earlier stage")
            earlier.add(stage)
        # Not a ModuleDict of its own: the weights keep plain names such as `stage1.0.weight`.
        for stage, module in modules.items():
            self.add_module(stage, module)
        self.stages = tuple(modules)
        self.inputs = {stage: inputs[stage] for stage in modules}
        self.channels = {stage: channels[stage] for stage in modules}
        self.stride = stride

    def needed(self, wanted: frozenset[str]) -> frozenset[str]:
        """The wanted stages and all that they read, however indirectly."""
        for name in sorted(wanted):
            if name not in self.inputs:
                nearest = get_close_matches(name, self.stages, n=1)
                hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
                raise ValueError(f"no stage {name!r}{hint}; there are {', '.join(self.stages)}")
        needed = set(wanted)
        for stage in reversed(self.stages):
            if stage in needed:
                needed.update(self.inputs[stage])
        return frozenset(needed - {IMAGE})

    def forward(self, images: Tensor, wanted: frozenset[str] = frozenset({"logits"})) -> dict[str, Tensor]:
        """The wanted stages' outputs; a stage that none of them needs is not run."""
        needed = self.needed(wanted)
        outputs = {IMAGE: images}
        for stage in self.stages:
            if stage in needed:
                outputs[stage] = self.get_submodule(stage)(*(outputs[source] for source in self.inputs[stage]))
        return {stage: outputs[stage] for stage in self.stages if stage in wanted}

    def compile_stages(self) -> None:
        """Each stage is compiled by itself when it first runs, so that a tap between two of them costs nothing."""
        for stage in self.stages:
            self.get_submodule(stage).compile()

    def sizes(self, images: tuple[int, int], wanted: frozenset[str]) -> dict[str, tuple[int, ...]]:
        """The positions of the wanted stages for images of a height and width: (h, w), or (N,) of token embeddings.

        Nothing is computed: the layers run on tensors that have shapes and no numbers.
        """
        ghost = copy.deepcopy(self).to("meta").eval()
        outputs = ghost(torch.empty(1, 3, *images, device="meta"), wanted)
        return {
            stage: tuple(output.shape[2:]) if output.ndim == 4 else tuple(output.shape[1:2])
            for stage, output in outputs.items()
        }
