"""What is wrong with a workload before anything is read, downloaded or spent."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from harness.ledger.datasets import StreetsData
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.findings import Looked, WorkloadReport
from harness.ledger.networks import LightNetwork, Network, is_pretrained, untrained
from harness.ledger.spec import WorkloadSpec
from harness.ledger.workload import Sliding, Workload, shown_size
from harness.segmentation.backbones import weights_file, weights_places, weights_there
from harness.segmentation.data import SPLITS
from harness.segmentation.layouts import listing
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged
from harness.segmentation.states import read_state
from harness.train.heartbeat import Heartbeat

LOGITS = frozenset({"logits"})


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """A WorkloadReport stands in OUT afterwards."""
    spec = read(spec_path, WorkloadSpec)
    heartbeat.enter("building")
    data = Path(spec.data) if spec.data else None
    heartbeat.answer(WorkloadReport(looked=(*networks(spec.workload), *data_set(spec.workload, data))))
    return 0


def networks(workload: Workload) -> Iterator[Looked]:
    """Both, and what they start from."""
    student, teacher = workload.student, workload.teacher.network
    yield look("student's network", lambda: described(workload, student))
    yield look("teacher's network", lambda: described(workload, teacher))
    yield from first_weights("student", student)
    if workload.teacher.weights is None and workload.teacher.checkpoint is None:
        yield from first_weights("teacher", teacher)


def first_weights(side: str, network: Network) -> Iterator[Looked]:
    """Where a pretrained backbone's weights are, without downloading any."""
    if not is_pretrained(network):
        return
    what, tag, digest = f"{side}'s backbone", network.backbone, network.backbone_sha256
    if not weights_there(tag):
        place = weights_places(tag)[0]
        found = f"{tag} is looked for at its hub when it is needed; without a network put it at {place}"
        yield Looked(what=what, found=found, good=False)
    elif digest is not None:
        yield look(what, lambda: str(weights_file(tag, digest)))
    else:  # What of them the network needs is known when it is built.
        yield look(what, lambda: opened(weights_file(tag))).model_copy(update={"good": False})


def opened(path: Path) -> str:
    """How many tensors a file holds; BadInput when it cannot be read."""
    tensors = len(read_state(path))
    return f"{path}: {tensors} tensors, not held against the network as the workload names no backbone_sha256"


def look(what: str, question: Callable[[], str]) -> Looked:
    """The answer, or the error as what to do."""
    try:
        return Looked(what=what, found=question(), good=True)
    except BadInput as error:
        return Looked(what=what, found="not usable", good=False, remedy=str(error))


def described(workload: Workload, network: Network) -> str:
    """A network in a line; BadInput when it cannot be built, or does not give the workload's logits."""
    built = ghost(workload, network)
    sizes = [(workload.augmentation.crop, "crop"), *scored(workload)]
    found = [fits(built, workload.stride, size, what) for size, what in sizes]
    parameters = sum(parameter.numel() for parameter in built.parameters())
    return f"{named(network)}: {parameters / 1e6:.2f} M parameters; {', '.join(found)}; {', '.join(built.stages)}"


def ghost(workload: Workload, network: Network) -> Staged:
    """The network with shapes and no numbers: it takes no memory and no weights."""
    with torch.device("meta"):
        return build(untrained(network), len(workload.classes), workload.stride).eval()


def scored(workload: Workload) -> Iterator[tuple[tuple[int, int], str]]:
    """The size at which images are scored, where all have one."""
    if isinstance(workload.evaluation, Sliding):
        yield workload.evaluation.window, "window"
    elif workload.image_size is not None:
        yield workload.image_size, "image"


def fits(network: Staged, stride: int, size: tuple[int, int], what: str) -> str:
    """The logits' size for images of a size; BadInput where it is not that of the stride, rounded up."""
    expected = tuple(-(-side // stride) for side in size)
    try:
        found = network.sizes(size, LOGITS)["logits"]
    except RuntimeError as error:
        raise BadInput(
            f"{what} {shown_size(size)}: too small for this network: {str(error).splitlines()[0]}"
        ) from error
    if found != expected:
        wanted = f"stride {stride} means {shown_size(expected)}"
        raise BadInput(f"{what} {shown_size(size)}: the logits are {shown_size(found)}, {wanted}")
    return f"{what} {shown_size(size)} to logits {shown_size(found)}"


def named(network: Network) -> str:
    """Its architecture and what it stands on."""
    if isinstance(network, LightNetwork):
        return f"light {'-'.join(map(str, network.widths))}"
    return f"{network.architecture} {network.backbone}"


def data_set(workload: Workload, data: Path | None) -> Iterator[Looked]:
    """What of the splits lies where, by the names of its files."""
    if isinstance(workload.data, StreetsData):
        yield Looked(what="data", found="drawn by the program", good=True)
    elif data is None:
        found = f"not looked for: --data or SEGKD_DATA says where it lies (reader {workload.data.reader})"
        yield Looked(what="data", found=found, good=False)
    else:
        yield look("data", lambda: f"{data}: {', '.join(pairs(workload, data))}")


def pairs(workload: Workload, data: Path) -> Iterator[str]:
    """Each split with its pairs; BadInput for the first problem."""
    assert not isinstance(workload.data, StreetsData)
    for split in SPLITS:
        found = listing(workload.data, data, split, workload.dataset)
        if found.problems:
            more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
            raise BadInput(f"{data}: {found.problems[0]}{more}: see `bench data check`")
        yield f"{split} {len(found.pairs)}"
