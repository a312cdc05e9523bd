"""The table of signatures is that of the networks: nothing is missing, nothing is old."""

import pytest
import torch

from srcli.models import ARCHS, SCALES, create
from srcli.models.signatures import SIGNATURES, Match, match, signature
from tests.counts import skeleton


def shapes_of(arch: str, scale: int) -> dict[str, tuple[int, ...]]:
    return {name: tuple(x.shape) for name, x in skeleton(arch, scale).state_dict().items()}


def test_the_table_has_every_network_at_every_scale():
    found: dict[str, Match] = {}
    for arch in ARCHS:
        for scale in SCALES if arch != "bicubic" else ():
            key = signature(shapes_of(arch, scale))
            assert found.get(key, Match(arch, ())).arch == arch
            found[key] = Match(arch, (*found.get(key, Match(arch, ())).scales, scale))
    lines = [f'    "{key}": Match("{m.arch}", {m.scales}),' for key, m in found.items()]
    assert found == SIGNATURES, "\n".join(["srcli/models/signatures.py should have:", *lines])


def test_the_order_of_the_tensors_does_not_matter():
    shapes = shapes_of("rfdn", 3)
    assert match(dict(reversed(shapes.items()))) == match(shapes) == Match("rfdn", (3,))


def test_folded_weights_are_the_same_network():
    with torch.device("meta"):
        shapes = {name: tuple(x.shape) for name, x in create("rdsrn", 2).fold().state_dict().items()}
    assert shapes.keys() != shapes_of("rdsrn", 2).keys()
    assert match(shapes) == Match("rdsrn", (2,))


@pytest.mark.parametrize("change", [{"head.weight": (51, 3, 3, 3)}, {"further": (1,)}])
def test_another_shape_or_tensor_is_no_match(change):
    assert match(shapes_of("rfdn", 4) | change) is None
