"""The desk tells a method's weights by the names that the engine gives them."""

import pytest

from harness.distill.distiller import Distiller
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.weights import named_weights
from harness.segmentation.networks import build
from tests.factories import workload


@pytest.mark.parametrize("name", ["baseline", "kd", "cwd", "at", "cirkd"])
def test_desk_and_engine_name_weights_alike(name: str):
    """Terms and parts, in the same order."""
    drawn = workload()
    method = resolve_method(method_path(name), drawn.dataset, drawn.training.batch)
    student, teacher = (build(network, 11, drawn.stride) for network in (drawn.student, drawn.teacher.network))
    distiller = Distiller(method, student, teacher, crop=(64, 64), auxiliary_weight=0.0, batch=drawn.training.batch)
    assert tuple(weight.name for weight in named_weights(method)) == distiller.names
