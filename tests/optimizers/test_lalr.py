"""The layer-wise adaptive learning rate: how far a layer moves, whatever its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.config import TrialConfig
from rayat.registry import OPTIMIZERS

LR = 0.03
LALR = pytest.mark.parametrize("name", ["lars", "lamb"])


def layers() -> list[nn.Parameter]:
    """Return layers of norm about 0.6, 5.5 and 100."""
    generator = torch.Generator().manual_seed(0)
    return [
        nn.Parameter(scale * torch.randn(shape, generator=generator))
        for scale, shape in [(0.1, (3, 4, 3)), (1.0, (30,)), (10.0, (10, 10))]
    ]


def moves(spec, steps: int = 4, scale: float = 1.0) -> list[list[torch.Tensor]]:
    """Return each layer's move in each step, the gradients times `scale`."""
    weights, generator = layers(), torch.Generator().manual_seed(1)
    optimizer, kept = OPTIMIZERS.build(spec).make(weights, LR), []
    for _ in range(steps):
        before = [w.detach().clone() for w in weights]
        for w in weights:
            w.grad = scale * torch.randn(w.shape, generator=generator)
        optimizer.step()
        kept.append([w.detach() - b for w, b in zip(weights, before, strict=True)])
    return kept


@LALR
def test_a_layer_moves_by_the_rate_times_its_norm_up_to_the_limit(name):
    weights = layers()
    assert [w.norm() > 10 for w in weights] == [False, False, True]
    optimizer = OPTIMIZERS.build(name).make(weights, LR)
    for step in range(4):
        before = [w.detach().clone() for w in weights]
        for w in weights:
            w.grad = torch.randn(w.shape, generator=torch.Generator().manual_seed(step))
        optimizer.step()
        for w, b in zip(weights, before, strict=True):
            torch.testing.assert_close(
                (w - b).norm(), LR * b.norm().clamp(max=10.0), rtol=1e-5, atol=0
            )


@pytest.mark.parametrize("spec", ["lamb", {"name": "lars", "weight_decay": 0.0}])
def test_the_loss_times_100_changes_nothing(spec):
    for one, hundred in zip(moves(spec), moves(spec, scale=100.0), strict=True):
        for a, b in zip(one, hundred, strict=True):
            # Not to the bit: lamb's eps is seen by the smallest gradients.
            assert (a - b).norm() < 1e-3 * a.norm()


@LALR
def test_a_layer_of_zeros_moves_by_the_direction_itself(name):
    weight = nn.Parameter(torch.zeros(5))
    optimizer = OPTIMIZERS.build(name).make([weight], LR)
    weight.grad = torch.full((5,), 0.5)
    optimizer.step()
    # lars: g; lamb: (0.1 g) / sqrt(0.001 g^2), without bias correction.
    direction = {"lars": 0.5, "lamb": 0.1 / 0.001**0.5}[name]
    torch.testing.assert_close(
        weight.detach(), torch.full((5,), -LR * direction), rtol=1e-4, atol=0
    )


@LALR
def test_without_a_gradient_nothing_moves(name):
    """A direction of zeros is not divided by, a weight that got no gradient is left out."""
    still, unused = (nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = OPTIMIZERS.build({"name": name, "weight_decay": 0.0}).make([still, unused], LR)
    still.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(still, torch.ones(3)) and torch.equal(unused, torch.ones(3))


@LALR
def test_what_is_not_finite_is_not_hidden(name):
    weight = nn.Parameter(torch.ones(3))
    optimizer = OPTIMIZERS.build(name).make([weight], LR)
    weight.grad = torch.tensor([1.0, float("nan"), 1.0])
    optimizer.step()
    assert not weight.isfinite().all()


@pytest.mark.parametrize("name", OPTIMIZERS.names())
@pytest.mark.parametrize(
    ("scaling", "batch", "factor"),
    [("none", 2048, 1), ("linear", 2048, 16), ("linear", 64, 0.5), ("sqrt", 2048, 4)],
)
def test_the_rate_follows_the_batch_size(name, scaling, batch, factor):
    changes = {"optimizer": {"name": name, "scaling": scaling}, "batch_size": batch, "epochs": 4}
    config = TrialConfig.parse({"lr": {"shape": "cosine", "peak": 0.1, "warmup": 0.2}, **changes})
    for progress in (0.01, 0.1, 0.2, 0.7):
        assert config.rate(progress) == pytest.approx(factor * config.lr.lr(progress))
    wide = config.replace({"optimizer.base_batch": batch})
    assert wide.rate(0.5) == wide.lr.lr(0.5)


def test_the_warm_up_is_linear_by_step():
    config = TrialConfig.parse(
        {
            "lr": {"shape": "constant", "peak": 0.1, "warmup": 0.5},
            "optimizer": {"name": "sgd", "scaling": "linear"},
            "batch_size": 256,
        }
    )
    rates = [config.rate(step / 10) for step in range(1, 11)]
    assert rates == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2, *[0.2] * 5])
