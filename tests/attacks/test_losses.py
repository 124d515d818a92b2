"""What attacks maximise, against autograd on the loss written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rayat.attacks.losses import error
from rayat.attacks.pgd import PGD


def written(loss, logits, target):
    if loss == "ce":
        return F.cross_entropy(logits, target, reduction="sum")
    if loss == "kl":
        return (target * (target.log() - logits.log_softmax(1))).sum()
    true = logits.gather(1, target[:, None]).squeeze(1)
    others = [
        torch.cat([row[:k], row[k + 1 :]]).max() for row, k in zip(logits, target, strict=True)
    ]
    return (torch.stack(others) - true).sum()


@pytest.mark.parametrize("loss", ["ce", "kl", "cw"])
def test_the_gradient_of_the_logits_is_autograds(loss):
    logits = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    target = torch.arange(9) % 4
    if loss == "kl":
        target = torch.randn(9, 4, dtype=torch.float64).softmax(1)
    (expected,) = torch.autograd.grad(written(loss, logits, target), logits)
    torch.testing.assert_close(error(loss, target, logits.detach()), expected)


def test_kl_asks_for_one_more_forward_pass_and_climbs_the_divergence(net, batch):
    x, y = batch
    net.eval()
    adv = PGD(eps=0.1, steps=5, loss="kl")(net, x, y, torch.Generator().manual_seed(0))
    assert (adv.forward, adv.backward) == (12 * 6, 12 * 5)
    with torch.no_grad():
        clean = net(x).softmax(1)
        reached = written("kl", net(adv.x), clean)
    start = PGD(eps=0.1, steps=1, loss="kl")(net, x, y, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert reached > written("kl", net(start.x), clean) > 0


def test_an_attack_takes_the_objectives_loss_only_where_it_names_none():
    assert PGD().suited("kl").loss == "kl"
    assert PGD(loss="cw").suited("kl").loss == "cw"


def test_a_gaussian_start_is_near_the_image(net, batch):
    x, y = batch
    adv = PGD(eps=0.1, steps=1, step_size=1e-9, random_start="gaussian")(
        net, x, y, torch.Generator().manual_seed(0)
    )
    assert 0 < (adv.x - x).abs().max() < 0.006
