"""The shortcut of the pre-activation network: the same convolution, and memory that stays whole."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rayat.models._preact_blocks import Shortcut


class Strides(TorchDispatchMode):
    """Notes the strides of every convolution's backward pass."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, op, types, arguments=(), options=None):
        if op is torch.ops.aten.convolution_backward.default:
            self.seen.append(arguments[4])
        return op(*arguments, **(options or {}))


@pytest.mark.parametrize("inputs", [1, 3, 7, 8, 16])
def test_the_shortcut_is_the_strided_convolution(inputs):
    torch.manual_seed(0)
    layer = Shortcut(inputs, 16, 1, 2, bias=False).double()
    x = torch.rand(4, inputs, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.conv2d(x, layer.weight, None, 2))


@pytest.mark.parametrize("inputs", [1, 3, 7])
def test_few_channels_never_reach_the_kernel_that_writes_behind_its_memory(inputs):
    layer = Shortcut(inputs, 16, 1, 2, bias=False)
    with Strides() as strides:
        layer(torch.rand(4, inputs, 8, 8)).sum().backward()
    assert strides.seen == [[1, 1]]
