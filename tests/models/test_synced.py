"""BatchNorm over all workers' batches; the workers themselves are in tests/distributed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.errors import ConfigError
from rayat.models.folded import foldable
from rayat.models.synced import SyncedNorm, synchronise
from rayat.registry import MODELS


def test_weights_names_and_evaluation_stay_and_the_folded_copy_too():
    model = MODELS.build({"name": "preactresnet", "width": 4}).build((1, 8, 8), 10, 0)
    x = torch.rand(3, 1, 8, 8)
    model(x)  # running statistics that are not 0 and 1
    model.eval()
    before, logits = model.state_dict(), model(x)
    parameters = list(model.parameters())
    synchronise(model)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(type(m) is SyncedNorm and foldable(m) for m in norms)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert before.keys() == model.state_dict().keys()
    assert torch.equal(model(x), logits)


def test_an_attack_in_batch_mode_asks_no_other_worker():
    """There is no process group here: a collective would raise."""
    from rayat.registry import ATTACKS

    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    synchronise(model)
    attack = ATTACKS.build({"name": "pgd", "eps": 0.1, "steps": 2, "bn_mode": "batch"})
    attack(model, torch.rand(2, 1, 4, 4), torch.arange(2), torch.Generator())
    with pytest.raises(ValueError, match="process group"):
        model(torch.rand(2, 1, 4, 4))


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(3), nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, momentum=None)]
)
def test_other_norms_are_refused_by_name(norm):
    with pytest.raises(ConfigError, match=r"knows plain BatchNorm2d layers, but 1 is BatchNorm"):
        synchronise(nn.Sequential(nn.Identity(), norm))
