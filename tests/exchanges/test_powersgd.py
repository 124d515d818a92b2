"""PowerSGD against its algorithm, with workers that all have the same gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.distributed.exchange import Exchange
from rayat.exchanges.base import bytes_per_step
from rayat.registry import EXCHANGES


class Same(Exchange):
    """Workers whose tensors are all this worker's."""

    def average(self, tensors):
        pass


def reducer(*shapes, rank=2):
    part = EXCHANGES.build({"name": "powersgd", "rank": rank})
    made = part.reducer([nn.Parameter(torch.zeros(shape)) for shape in shapes], Same(0, 2))
    made.begin(torch.Generator(), torch.Generator().manual_seed(0))
    return made


def test_matrices_of_low_rank_and_vectors_come_back_exactly():
    generator = torch.Generator().manual_seed(1)
    low = torch.randn(12, 2, generator=generator) @ torch.randn(2, 18, generator=generator)
    gradient = torch.cat([low.view(-1), torch.arange(5.0)])
    made = reducer((12, 2, 3, 3), (5,))
    torch.testing.assert_close(made.mean(gradient.clone()), gradient, atol=1e-4, rtol=1e-4)
    left = made.state_dict()["left_out"]
    assert left[:-5].abs().max() < 1e-4 and not left[-5:].any()


def test_repeated_on_one_matrix_it_finds_the_best_of_its_rank():
    """Algorithm 1 with a warm start is a power iteration; without feedback it ends at the SVD's."""
    matrix = torch.randn(10, 16, generator=torch.Generator().manual_seed(2))
    made = reducer((10, 16))
    for _ in range(200):
        made.left_out.zero_()
        mean = made.mean(matrix.view(-1).clone()).view(10, 16)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(mean, u[:, :2] * s[:2] @ v[:2], atol=1e-3, rtol=0)


def test_what_was_left_out_comes_with_the_next():
    gradients = torch.randn(40, 60, generator=torch.Generator().manual_seed(3))
    made = reducer((6, 10), rank=1)
    applied = sum(made.mean(g.clone()) for g in gradients)
    left = made.state_dict()["left_out"]
    torch.testing.assert_close(applied + left, gradients.sum(0), atol=1e-3, rtol=0)


def test_state_goes_on_the_same():
    gradients = torch.randn(4, 60, generator=torch.Generator().manual_seed(4))
    one, other = reducer((6, 10)), reducer((6, 10))
    one.mean(gradients[0].clone())
    other.load_state_dict(one.state_dict())
    other.begin(torch.Generator(), torch.Generator().manual_seed(9))
    for gradient in gradients[1:]:
        assert torch.equal(one.mean(gradient.clone()), other.mean(gradient.clone()))


def test_forgetting_is_starting_anew():
    gradient = torch.randn(60, generator=torch.Generator().manual_seed(5))
    one, other = reducer((6, 10)), reducer((6, 10))
    one.mean(torch.ones(60))
    one.forget()
    one.begin(torch.Generator(), torch.Generator().manual_seed(0))
    assert torch.equal(one.mean(gradient.clone()), other.mean(gradient.clone()))


@pytest.mark.parametrize(
    ("shape", "rank", "sent"),
    [
        ((12, 2, 3, 3), 2, 2 * 12 + 2 * 18),  # factors
        ((12, 2, 3, 3), 64, 12 * 18),  # no smaller as factors
        ((4, 4), 2, 16),  # as large as factors
        ((7,), 2, 7),
        ((), 2, 1),
        ((0, 5), 2, 0),
    ],
)
def test_bytes_by_hand(shape, rank, sent):
    part = EXCHANGES.build({"name": "powersgd", "rank": rank})
    assert bytes_per_step(part, [shape], 2) == 4 * sent
