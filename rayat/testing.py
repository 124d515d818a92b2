"""What a method of one's own must promise, as one call in one's own tests.

    from rayat.testing import attack_contract

    def test_mine():
        attack_contract(Mine(eps=0.1))

Each function raises `AssertionError` with what was broken. docs/own-parts.md says how methods reach
a run.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.attacks.base import Adversarial, Attack
from rayat.columns import columns_of
from rayat.exchanges.base import GradientExchange, bytes_per_step
from rayat.lr_shapes.base import LRShape
from rayat.objectives.base import Objective
from rayat.policies.base import Policy, TrialView
from rayat.registry import (
    ATTACKS,
    EXCHANGES,
    OBJECTIVES,
    POLICIES,
    SHAPES,
    Part,
    Registry,
)

__all__ = [
    "attack_contract",
    "exchange_contract",
    "objective_contract",
    "policy_contract",
    "shape_contract",
]

SLACK = 1e-6
"""Most that an image may leave the ball by: rounding of float32 pixels."""
CLASSES, SIDE = 3, 6


def _travels(part: Part, registry: Registry[Any]) -> None:
    """Check that a part is the same again after it went through JSON, as every worker gets it."""
    registry.build(part)
    again = registry.build(json.loads(json.dumps(part.spec())))
    assert again == part, f"{part.kind}: read back from JSON it is {again!r}, not {part!r}"


def _declares(part: Attack | Objective, info: Mapping[str, Tensor], samples: int) -> None:
    """Check that a part reports only columns that it declares, with a value for every sample."""
    odd = [name for name in info if name not in columns_of(part)]
    assert not odd, f"{part.kind}: reports {odd}, which its `columns` do not declare"
    wrong = [name for name, value in info.items() if value.shape != (samples,)]
    assert not wrong, f"{part.kind}: {wrong} have not one value per sample"


class _Net(nn.Module):
    """Convolution, BatchNorm, dropout: everything that an attack must leave as it found it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4 * SIDE * SIDE, CLASSES)
        self.head.bias.requires_grad_(False)  # a weight frozen by its owner stays frozen

    def forward(self, x: Tensor) -> Tensor:
        maps = self.drop(self.norm(self.conv(x)).relu())
        logits: Tensor = self.head(maps.flatten(1))
        return logits


def _net() -> _Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _Net()
        net(torch.rand(16, 1, SIDE, SIDE)).square().mean().backward()
    net.drop.eval()  # modes are mixed on purpose
    return net


def _batch() -> tuple[Tensor, Tensor]:
    """Return images in [0, 1], some exactly at the edges of the box, and labels."""
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(12, 1, SIDE, SIDE, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    return x, torch.randint(CLASSES, (12,), generator=generator)


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _state(net: nn.Module) -> list[Any]:
    """Return all that an attack could leave changed: weights, buffers, modes, gradients."""
    return [
        copy.deepcopy(net.state_dict()),
        [module.training for module in net.modules()],
        [getattr(module, "track_running_stats", None) for module in net.modules()],
        [p.requires_grad for p in net.parameters()],
        [None if p.grad is None else p.grad.clone() for p in net.parameters()],
    ]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def attack_contract(attack: Attack) -> None:
    """Check what every attack promises, on a small network, for radii from 0 to 1.

    The images stay within the attack's reach of the originals and in [0, 1]; the network, its
    gradients and buffers are as they were; only the given generator is random; passes are counted.
    """
    name = attack.kind
    _travels(attack, ATTACKS)
    x, y = _batch()
    order = math.inf if attack.norm == "linf" else 2.0
    for eps in (0.01, 0.1, 0.5, 1.0):
        each = attack.replace(eps=eps)
        adv = each(_net(), x, y, _seeded())
        assert (adv.x.shape, adv.x.dtype) == (x.shape, x.dtype), f"{name}: another shape or type"
        far = float(torch.linalg.vector_norm((adv.x - x).flatten(1), order, 1).max())
        assert far <= each.reach + SLACK, (
            f"{name} leaves the ball: an image is {far:g} away at eps={eps:g}, and its reach is "
            f"{each.reach:g}"
        )
        inside = adv.x.min() >= 0 and adv.x.max() <= 1
        assert inside, f"{name}: pixels outside of [0, 1] at eps={eps:g}"
        assert not adv.x.requires_grad, f"{name}: its images carry a graph"
    kept = x.clone()
    nothing = attack.replace(eps=0.0)(_net(), x, y, _seeded())
    assert torch.equal(nothing.x, x), f"{name}: radius 0 changes the images"
    assert (nothing.forward, nothing.backward) == (0, 0), f"{name}: radius 0 costs passes"

    net, noise = _net(), torch.get_rng_state()
    before, seen = _state(net), {"forward": 0, "backward": 0}

    def count(module: nn.Module, inputs: Any, logits: Tensor) -> None:
        seen["forward"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(  # type: ignore[no-untyped-call]
                lambda g: seen.update(backward=seen["backward"] + len(g))
            )

    hook = net.register_forward_hook(count)
    adv = attack(net, x, y, _seeded(5))
    hook.remove()
    told = {"forward": adv.forward, "backward": adv.backward}
    assert told == seen, f"{name}: it says {told} passes of single images, and made {seen}"
    whole = type(adv.forward) is int and type(adv.backward) is int
    assert whole, f"{name}: passes are whole numbers, got {told}"
    _declares(attack, adv.info, len(x))
    assert _equal(before, _state(net)), f"{name}: the network is not as it was"
    assert torch.equal(x, kept), f"{name}: it changed the images that it was given"
    assert torch.equal(noise, torch.get_rng_state()), f"{name}: torch's own generator was used"
    other = _net()
    with torch.no_grad():
        again = attack(other, x, y, _seeded(5))
    assert torch.equal(adv.x, again.x), f"{name}: the same seed gives other images"
    net = _net().eval()
    with torch.no_grad():
        clean = F.cross_entropy(net(x), y)
    worse = attack.replace(eps=0.1)(net, x, y, _seeded())
    with torch.no_grad():
        assert F.cross_entropy(net(worse.x), y) >= clean, f"{name}: it lowers the loss"


GRID = [step / 100 for step in range(101)]


def shape_contract(
    shape: LRShape,
    progress: Iterable[float] = GRID,
    histories: Sequence[Sequence[float]] = ((), (0.1, 0.2), (0.5, 0.4, 0.4, 0.1)),
) -> None:
    """Check what every learning-rate shape promises: finite, between floor and peak, one curve.

    Args:
        progress: places in [0, 1] to look at. histories: robust accuracies of the epochs before.
    """
    name = shape.kind
    _travels(shape, SHAPES)
    for floor in (0.0, 0.03, 0.2):
        part = shape.replace(peak=0.2, floor=floor, warmup=0.0)
        warm = part.replace(warmup=0.25)
        for at in progress:
            for history in histories:
                rate = part.lr(at, 40, history)
                fits = math.isfinite(rate) and floor * (1 - 1e-12) <= rate <= 0.2 * (1 + 1e-12)
                assert fits, (
                    f"{name}: the rate at progress {at:g} is {rate:g}, not in [{floor}, 0.2]"
                )
                ramp = rate * min(1.0, at / 0.25)
                close = math.isclose(warm.lr(at, 40, history), ramp, rel_tol=1e-9, abs_tol=1e-15)
                assert close, f"{name}: warm-up is no ramp on top of the shape at progress {at:g}"
                if not part.feedback:
                    assert part.lr(at, 7, []) == rate, f"{name}: the curve depends on the epochs"


def objective_contract(objective: Objective) -> None:
    """Check what every objective promises: a finite loss per sample and counted passes."""
    name = objective.kind
    _travels(objective, OBJECTIVES)
    x, y = _batch()
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 5), nn.ReLU(), nn.Linear(5, CLASSES))
    net = net.double()
    x = x.double()
    adv = Adversarial((x + 0.1).clamp(0, 1), len(x), len(x))
    kept = x.clone(), adv.x.clone()
    noise, seen = torch.get_rng_state(), {"forward": 0, "backward": 0}

    def count(module: nn.Module, inputs: Any, logits: Tensor) -> None:
        seen["forward"] += len(logits)
        logits.register_hook(  # type: ignore[no-untyped-call]
            lambda g: seen.update(backward=seen["backward"] + len(g))
        )

    hook = net.register_forward_hook(count)
    outcome = objective.loss(net, x, adv, y)
    outcome.loss.sum().backward()  # type: ignore[no-untyped-call]
    hook.remove()
    assert outcome.loss.shape == (len(x),), f"{name}: one loss per sample, got {outcome.loss.shape}"
    assert outcome.loss.isfinite().all(), f"{name}: a loss is not finite"
    assert outcome.adv_logits.shape == (len(x), CLASSES), f"{name}: adv_logits have another shape"
    missing = [k for k, p in net.named_parameters() if p.grad is None]
    assert not missing, f"{name}: {missing} get no gradient"
    _declares(objective, outcome.info, len(x))
    told = {"forward": outcome.forward, "backward": outcome.backward}
    assert told == seen, f"{name}: it says {told} passes of single images, and made {seen}"
    for i in range(len(x)):
        alone = Adversarial(adv.x[i : i + 1], 1, 1)
        loss = objective.loss(net, x[i : i + 1], alone, y[i : i + 1]).loss
        assert torch.allclose(loss, outcome.loss[i : i + 1]), f"{name}: samples see each other"
    same = torch.equal(x, kept[0]) and torch.equal(adv.x, kept[1])
    assert same, f"{name}: it changed the images that it was given"
    assert torch.equal(noise, torch.get_rng_state()), f"{name}: torch's own generator was used"


def policy_contract(policy: Policy) -> None:
    """Check what every policy promises: repeatable, with reasons, never for a missing value."""
    name = policy.kind
    _travels(policy, POLICIES)
    metric = "val_robust_acc"
    curves = [[0.01 * trial + 0.02 * epoch for epoch in range(12)] for trial in range(6)]

    def said(judge: Policy) -> Iterator[tuple[Any, ...]]:
        for epoch in range(1, 13):
            for trial, curve in enumerate(curves):
                view = TrialView(f"t{trial}", {}, 12)
                decided = judge.observe(view, epoch, {metric: curve[epoch - 1]}, metric)
                evidence = json.dumps(dict(decided.evidence), allow_nan=False, sort_keys=True)
                yield decided.action, decided.rule, decided.sentence, evidence

    first = list(said(policy.fresh()))
    assert first == list(said(policy.fresh())), f"{name}: the same reports give other decisions"
    for action, rule, sentence, _ in first:
        assert action in ("continue", "stop", "pause"), f"{name}: no such action {action!r}"
        if action != "continue":
            reasoned = rule and sentence and "\n" not in sentence
            assert reasoned, f"{name}: {action} without a reason"
    among = policy.fresh()
    list(said(among))  # a trial among others that have values, and finished before it
    for epoch in range(1, 13):
        for value in ({"train_loss": 1.0}, {metric: None}, {metric: math.nan}):
            decision = among.observe(TrialView("late", {}, 12), epoch, value, metric)
            assert decision.action == "continue", f"{name}: a missing value ends a trial"


def exchange_contract(exchange: GradientExchange) -> None:
    """Check what every exchange promises of its bytes: none alone, never more than the mean."""
    name = exchange.kind
    _travels(exchange, EXCHANGES)
    shapes = [torch.Size(s) for s in ((64, 3, 3, 3), (64,), (128, 64, 3, 3), (10, 128), (10,))]
    assert bytes_per_step(exchange, shapes, 1) == 0, f"{name}: one worker sends something"
    for world in (2, 3, 7, 64):
        plain = bytes_per_step(EXCHANGES.build("none"), shapes, world)
        sent = bytes_per_step(exchange, shapes, world)
        assert 0 < sent <= plain, f"{name}: {world} workers send {sent} bytes, the mean {plain}"
