"""Each pruner's gradients and selection against recorded vectors (`formulas/pruning.py`).

Images are float32 once they are scaled, which is what the tolerances are for.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rayat.data.base import Arrays, Prepared
from rayat.models._body import Body
from rayat.models.base import Normalised
from rayat.pruning._gather import gather
from rayat.pruning.base import SelectionContext
from rayat.registry import ATTACKS, OBJECTIVES, PRUNERS

ROOM = "pruning"
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


class TinyBody(Body):
    """The recorded network in two parts."""

    def __init__(self, whole: nn.Sequential) -> None:
        super().__init__()
        *first, self.head = whole
        self.first = nn.Sequential(*first)

    def forward_features(self, x):
        return self.first(x)


@pytest.fixture
def context(recorded, torched, draws):
    """Return what the pruner is given; every draw but the attack's is the recorded one."""

    def arrays(split):
        pixels = np.array(recorded[split]["pixels"], dtype=np.uint8).reshape(-1, 3, 3, 1)
        return Arrays(pixels, np.array(recorded[split]["y"], dtype=np.int64))

    train, val = arrays("train"), arrays("val")
    mean, std = (recorded["mean"],), (recorded["std"],)
    prepared = Prepared("tiny", train, val, val, mean, std, ("a", "b", "c"), "", "")
    body = TinyBody(torched.network(recorded["network"]))
    model = Normalised(body, torch.tensor(mean), torch.tensor(std)).double()
    case = recorded["case"]
    return SelectionContext(
        model=model,
        prepared=prepared,
        attack=ATTACKS.get("fgsm")(eps=recorded.get("eps", 0.1)),
        objective=OBJECTIVES.build(case.get("objective", "madry")),
        generator=draws(case["draws"]),
        noise=torch.Generator(),
        batch_size=recorded["batch"],
        lr=recorded["lr"],
    )


@pytest.mark.filterwarnings("ignore:grad-match. .* were drawn at random")
def test_the_selection_is_that_of_the_rule(method, recorded, context, torched):
    case = recorded["case"]
    pruner = PRUNERS.get(method)(**case["parameters"])
    selection = pruner.select(1, context)
    assert selection.indices.tolist() == case["indices"]
    expected = torched.tensor(case["weights"])
    torch.testing.assert_close(selection.weights.double(), expected, **CLOSE)
    assert selection.random_fill == pytest.approx(case.get("random_fill", 0))
    if "phases" in case:
        epochs = len(case["phases"])
        phases = [pruner.schedule(epoch, epochs) for epoch in range(1, epochs + 1)]
        assert phases == case["phases"]
    if "gradients" in case:
        factors = gather(context, context.prepared.train).factors()
        for number, own in enumerate(case["gradients"]):
            found = factors.take(torch.tensor([number])).total()
            torch.testing.assert_close(found, torched.tensor(own), atol=1e-6, rtol=1e-5)
