"""Last-layer gradients are those of autograd, and inner products need no gradient (9.3, test 7)."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from rayat.errors import ConfigError
from rayat.pruning._gather import gather
from rayat.pruning._logits import CrossEntropy, Mart, Trades, logit_loss
from rayat.pruning.lastlayer import Factors, LastLayer
from rayat.registry import OBJECTIVES


def cross_entropy(smoothing):
    def loss(logits, y):
        return F.cross_entropy(logits[0], y, reduction="none", label_smoothing=smoothing)

    return loss


def weighted(logits, y):
    loss = cross_entropy(0.1)(logits, y)
    return loss * loss.detach()


def trades(beta):
    def loss(logits, y):
        p, q = logits[0].softmax(1), logits[1].softmax(1)
        return F.cross_entropy(logits[0], y, reduction="none") + beta * (p * (p / q).log()).sum(1)

    return loss


def mart(beta):
    def loss(logits, y):
        p, q = logits[0].softmax(1), logits[1].softmax(1)
        at = torch.arange(len(y))
        rival = q.clone()
        rival[at, y] = -1
        margin = q[at, rival.argmax(1)]
        divergence = (p * (p / q).log()).sum(1)
        return -q[at, y].log() - (1 - margin).log() + beta * divergence * (1 - p[at, y])

    return loss


CASES = {
    "ce": (CrossEntropy(), cross_entropy(0.0)),
    "ce-smooth": (CrossEntropy(0.2), cross_entropy(0.2)),
    "ce-weighted": (CrossEntropy(0.1, weighted=True), weighted),
    "trades": (Trades(6.0), trades(6.0)),
    "mart": (Mart(5.0), mart(5.0)),
}


@pytest.mark.parametrize("case", CASES)
@settings(deadline=None)
@given(seed=st.integers(0, 99))
def test_factors_are_the_gradients_of_autograd(case, seed, dense):
    form, loss = CASES[case]
    g = torch.Generator().manual_seed(seed)
    n, classes, features = 5, 4, 3
    weight = torch.randn(classes, features, generator=g, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(classes, generator=g, dtype=torch.float64, requires_grad=True)
    y = torch.randint(classes, (n,), generator=g)
    inputs = tuple(
        torch.randn(n, features, generator=g, dtype=torch.float64) for _ in range(1 + form.clean)
    )
    logits = tuple(h @ weight.T + bias for h in inputs)
    layer = LastLayer(tuple(z.detach() for z in logits), inputs, y, form)
    found = dense(layer.factors())
    for i, value in enumerate(loss(logits, y)):
        d_weight, d_bias = torch.autograd.grad(value, (weight, bias), retain_graph=True)
        torch.testing.assert_close(found[i], torch.cat([d_weight, d_bias[:, None]], 1).flatten())


def test_mart_of_a_sure_network_is_finite():
    logits = torch.tensor([[60.0, -60.0, 0.0]]), torch.tensor([[-60.0, 60.0, 0.0]])
    for gradient in Mart(5.0).gradients(logits, torch.tensor([0])):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("terms", [1, 2])
@settings(deadline=None)
@given(seed=st.integers(0, 99), rows=st.lists(st.integers(0, 8), min_size=1, max_size=5))
def test_inner_products_and_sums_are_those_of_the_gradients(synthetic, dense, terms, seed, rows):
    factors, chosen = synthetic(n=9, terms=terms, seed=seed), torch.tensor(rows)
    for part in (factors, factors.bias(), factors.row(2)):
        wide = dense(part)
        assert wide.shape[1] == part.dimension
        torch.testing.assert_close(part.columns(chosen), wide @ wide[chosen].T)
        torch.testing.assert_close(part.total().flatten(), wide.sum(0))
        torch.testing.assert_close(dense(part.take(chosen)), wide[chosen])
        direction = part.total() + 1
        torch.testing.assert_close(part.dot(direction), wide @ direction.flatten())


def test_moved_logits_are_those_of_the_moved_layer():
    g = torch.Generator().manual_seed(0)
    h = torch.randn(5, 3, generator=g)
    layer, step = torch.randn(4, 4, generator=g), torch.randn(4, 4, generator=g)

    def out(weights):
        return h @ weights[:, :-1].T + weights[:, -1]

    moved = LastLayer((out(layer),), (h,), torch.zeros(5).long(), CrossEntropy()).moved(step)
    torch.testing.assert_close(moved.logits[0], out(layer + step))


@dataclasses.dataclass
class Told:
    """An objective that says itself what it is of the logits."""

    kind = "told"

    def logit_loss(self):
        return Trades(2.0)


def test_an_objective_may_give_its_own_logit_loss():
    assert logit_loss(Told()) == Trades(2.0)
    madry = OBJECTIVES.build({"name": "madry", "label_smoothing": 0.1})
    assert logit_loss(madry) == CrossEntropy(0.1)


def test_an_objective_without_one_is_refused_by_name():
    class Other:
        kind = "other"

    with pytest.raises(ConfigError, match=r"objective 'other' gives no gradient .* use objective"):
        logit_loss(Other())


def test_gathered_gradients_are_those_of_the_networks_head(context, dense):
    given = context(attack=context().attack.replace(random_start=False))
    layer = gather(given, given.prepared.train)
    wide = dense(layer.factors())
    model = given.model.eval()
    x = torch.tensor(given.prepared.train.x[:16]).permute(0, 3, 1, 2).float() / 255
    adv = given.attack(model, x, layer.y[:16], torch.Generator()).x
    for i in (0, 7, 15):
        loss = F.cross_entropy(model(adv[i : i + 1]), layer.y[i : i + 1])
        weight, bias = torch.autograd.grad(loss, (model.head.weight, model.head.bias))
        torch.testing.assert_close(wide[i], torch.cat([weight, bias[:, None]], 1).flatten())


def test_two_images_a_sample_are_gathered_for_objectives_that_read_both(context):
    layer = gather(context(objective=Told()), context().prepared.val)
    assert len(layer.logits) == len(layer.features) == 2
    assert (layer.forward, layer.backward) == (40 * (2 + 2), 40 * 2)
    assert not torch.equal(*layer.logits)
    assert len(layer.factors()) == 40


def test_a_head_that_is_not_linear_is_refused(context):
    given = context()
    given.model.body.head = torch.nn.Identity()
    small = given.attack.replace(eps=0.0)
    with pytest.raises(ConfigError, match=r"ends in nn\.Linear, got Identity"):
        gather(dataclasses.replace(given, attack=small), given.prepared.val)


def test_dimension_is_that_of_the_layer():
    factors = Factors((torch.zeros(3, 10),), (torch.zeros(3, 512),))
    assert factors.dimension == 5130
    assert factors.row(0).dimension == 513
    assert factors.bias().dimension == 10
