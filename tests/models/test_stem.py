from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.models._stem import FEW, Stem


@pytest.mark.parametrize("size", [(7, 8), (12, 9)])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize(("channels", "stride"), [(1, 2), (1, 3), (1, 4), (3, 2), (1, 1), (5, 2)])
def test_the_gradient_by_cells_is_the_convolutions(channels, stride, kernel, padding, size):
    conv = nn.Conv2d(channels, 5, kernel, stride, padding).double()
    stem = Stem(conv, torch.float64, torch.ones(channels).double())
    assert stem.cells == (stride > 1 and channels * stride**2 <= FEW)
    x = torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)
    out = conv(x)
    gradient = torch.randn_like(out)
    (expected,) = torch.autograd.grad(out, x, gradient)
    got, kept = stem.forward(x.detach())
    torch.testing.assert_close(got, out.detach())
    torch.testing.assert_close(stem.backward(gradient.clone(), kept), expected)


@pytest.mark.parametrize(
    "options", [{"dilation": 2}, {"stride": (2, 1)}, {"padding": (1, 0)}, {"kernel_size": (3, 2)}]
)
def test_other_first_convolutions_are_left_to_torch(options):
    conv = nn.Conv2d(1, 4, **{"kernel_size": 3, "stride": 2, **options}).double()
    stem = Stem(conv, torch.float64, torch.ones(1).double())
    assert not stem.cells
    x = torch.randn(2, 1, 9, 9, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(conv(x).sum(), x)
    out, kept = stem.forward(x.detach())
    torch.testing.assert_close(stem.backward(torch.ones_like(out), kept), expected)
