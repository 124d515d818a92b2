"""Each attack's rule against its recorded vectors (`formulas/attacks.py`), float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks import _starter
from rayat.attacks.base import Adversarial, Moment, Outcome, Setting
from rayat.registry import ATTACKS

ROOM = "attacks"
ONLY = {
    "test_free_is_its_rule": ["free"],
    "test_fgsm_sdi_is_its_rule": ["fgsm-sdi"],
    "test_bullet_train_is_its_rule": ["bullet-train"],
}
TIGHT = {"atol": 1e-12, "rtol": 1e-10}


def given(recorded, torched):
    """Return what was recorded: the case, the network, the images and their labels."""
    network, x, y = recorded["network"], recorded["x"], recorded["y"]
    return recorded["case"], torched.network(network), torched.picture(x), torched.tensor(y)


def test_the_images_are_those_of_the_rule(method, recorded, draws, torched):
    case, model, x, y = given(recorded, torched)
    attack = ATTACKS.get(method)(**case["parameters"])
    if "epoch" in case:
        attack = attack.at(Moment(case["epoch"], case["epochs"], 1.0))
    adv = attack(model, x, y, draws(case["draws"]))
    torch.testing.assert_close(adv.x, torched.picture(case["x"]), **TIGHT)
    for name, values in case.get("info", {}).items():
        torch.testing.assert_close(adv.info[name], torched.tensor(values), atol=1e-12, rtol=1e-9)
    if "steps" in case:
        assert adv.steps == sum(case["steps"])
    if "limit" in case:
        assert attack.limit() == pytest.approx(case["limit"], abs=1e-15)


def test_bullet_train_is_its_rule(method, recorded, draws, torched):
    case, model, x, y = given(recorded, torched)
    attack = ATTACKS.get(method)(**case["parameters"])
    memory = attack.remember(Setting((1, 3, 3), 3, len(x), 0))
    memory.load_state_dict({"robust": case["share"]})
    now, generator, shown = attack.at(Moment(2, 10, 0.2, 0), memory), draws(case["draws"]), []

    class Learner:
        def attack(self, attack, x, y):
            shown.append(attack(model, x, y, generator))
            return shown[0]

        def learn(self, x, adv, y):
            return Outcome(torch.zeros(len(x)), model(adv.x), None, 0, 0)

    boundary, robust = now.groups(model(x).softmax(1).detach(), y)
    assert boundary.tolist() == case["boundary"] and robust.tolist() == case["robust"]
    now.step(Learner(), x, y)
    torch.testing.assert_close(shown[0].x, torched.picture(case["x"]), **TIGHT)
    assert float(memory.value) == pytest.approx(case["share_after"], abs=1e-15)


def test_free_is_its_rule(method, recorded, torched):
    case = recorded["case"]
    model, shown = torched.network(recorded["network"]), []

    class Learner:
        def learn(self, x, adv, y):
            shown.append(adv.x.detach().clone())
            F.cross_entropy(model(adv.x), y).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= case["rate"] * p.grad
                    p.grad = None

    attack = ATTACKS.get(method)(**case["parameters"])
    memory = attack.remember(Setting((1, 3, 3), 3, len(case["delta"]), 0))
    memory.delta = memory.delta.double()
    for step, batch in enumerate(case["batches"]):
        x, y = torched.picture(batch["x"]), torched.tensor(batch["y"])
        attack.at(Moment(1, 1, 1.0, step), memory).step(Learner(), x, y)
    each = case["parameters"]["replays"]
    for ours, theirs in zip(shown[each - 1 :: each], case["shown"], strict=True):
        torch.testing.assert_close(ours, torched.picture(theirs), **TIGHT)
    torch.testing.assert_close(memory.delta, torched.picture(case["delta"]), **TIGHT)


def test_fgsm_sdi_is_its_rule(method, recorded, torched, monkeypatch):
    """The generator is recorded too: `a x + b s + c`. Its optimiser is rayat's own."""
    case, model, x, y = given(recorded, torched)
    theta = torched.tensor(case["theta"])
    tiny = nn.Conv2d(2, 1, 1).double()
    with torch.no_grad():
        tiny.weight.copy_(theta[:2].view(1, 2, 1, 1))
        tiny.bias.copy_(theta[2:])
    monkeypatch.setattr(_starter, "network", lambda channels, width: tiny)
    attack = ATTACKS.get(method)(**case["parameters"], every=1)
    memory = attack.remember(Setting((1, 3, 3), 3, len(x), 0))

    def images(step) -> Adversarial:
        return attack.at(Moment(1, 1, 1.0, step), memory)(model, x, y, torch.Generator())

    for number, update in enumerate(case["updates"]):
        adv = images(number)
        torch.testing.assert_close(adv.x, torched.picture(update["x"]), **TIGHT)
        now = torch.cat([tiny.weight.detach().flatten(), tiny.bias.detach()])
        torch.testing.assert_close(now, torched.tensor(update["theta"]), **TIGHT)
    adv = images(None)
    torch.testing.assert_close(adv.x, torched.picture(case["x"]), **TIGHT)
    for name, values in case["info"].items():
        torch.testing.assert_close(
            adv.info[name].double(), torched.tensor(values), atol=1e-7, rtol=0
        )


def test_the_generator_is_the_releases(record, torched):
    """Weights are laid into rayat's own network, layer by layer in its order."""
    recorded = record.read(ROOM)["fgsm-sdi"]
    starter = _starter.Starter(Setting((1, 3, 3), 3, 5, 0), width=2)
    leaves = [m for m in starter.net.modules() if [*m.parameters(False), *m.buffers(False)]]
    for module, values in zip(leaves, recorded["generator"]["layers"], strict=True):
        had = set(module.state_dict()) - {"num_batches_tracked"}
        assert had == set(values), module
        module.double()
        module.load_state_dict({k: torched.tensor(v) for k, v in values.items()}, strict=False)
    x, sign = torched.picture(recorded["x"]), torched.picture(recorded["generator"]["sign"])
    eta = starter.eta(x, sign, 0.1).detach()
    torch.testing.assert_close(eta, 0.1 * torched.picture(recorded["generator"]["share"]), **TIGHT)
