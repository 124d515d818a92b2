"""Outputs that saturate at the ends of any range are said; those of ordinary networks are not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.data.base import Arrays, Prepared
from rayat.evaluation.masking import said
from rayat.evaluation.measure import MeasureSettings, measure
from rayat.registry import MODELS
from rayat.suites.base import ends, suite

SQUASHED = {
    "tanh": torch.tanh,
    "a scaled sigmoid": lambda z: 3 * z.sigmoid() - 1,
    "a scaled softmax": lambda z: 20 * (3 * z).softmax(1),
    "a clamp": lambda z: z.clamp(-2, 2),
    "tanh, then log-softmax": lambda z: z.tanh().log_softmax(1),
}
ORDINARY = {
    "logits": lambda z: z,
    "log-softmax": lambda z: z.log_softmax(1),
    "on a sphere": lambda z: 10 * F.normalize(z, dim=1),
    "a tanh that hardly saturates": lambda z: 30 * (z / 30).tanh(),
    "one answer to all": lambda z: z[:1].expand_as(z),
    "shifted": lambda z: z - 40,
}


class After(nn.Module):
    def __init__(self, net, after):
        super().__init__()
        self.net, self.after = net, after

    def forward(self, x):
        return self.after(self.net(x))


def signs(digits, model, n=300, batch_size=70):
    part = Arrays(
        np.ascontiguousarray((digits.x[:n] * 255).round().byte().permute(0, 2, 3, 1).numpy()),
        digits.y[:n].numpy().astype(np.int64),
    )
    names = tuple("0123456789")
    prepared = Prepared("digits", part, part, part, (0.3,), (0.4,), names, "", "")
    row = measure(model, prepared, MeasureSettings(suite("fgsm"), 0.05, batch_size=batch_size))
    return json.loads(row["flags_json"] or "{}"), row


@pytest.mark.parametrize("after", SQUASHED)
def test_outputs_that_saturate_are_said(digits, after):
    found, row = signs(digits, After(digits.model, SQUASHED[after]))
    assert found["squashed_outputs"]["of the images"] > 0.15
    assert any("as far apart as they ever get" in sentence for sentence in said(row))


@pytest.mark.parametrize("batch_size", [70, 7, 299])
def test_the_sign_does_not_hang_on_the_batches(digits, batch_size):
    squashed = After(digits.model, torch.tanh)
    assert "squashed_outputs" in signs(digits, squashed, batch_size=batch_size)[0]
    assert not signs(digits, digits.model, batch_size=batch_size)[0]


@pytest.mark.parametrize("after", ORDINARY)
def test_outputs_that_do_not_saturate_are_not_flagged(digits, after):
    assert "squashed_outputs" not in signs(digits, After(digits.model, ORDINARY[after]))[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("steps", [0, 120])
def test_networks_trained_on_clean_images_are_not_flagged(digits, smoothing, steps):
    """Sure of nearly all images, or held at one distance by smoothed labels."""
    model = MODELS.build("cnn").build((1, 8, 8), 10, 0, (0.3,), (0.4,))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        rows = torch.arange(64 * step, 64 * step + 64) % 600 + 400
        optimizer.zero_grad()
        F.cross_entropy(model(digits.x[rows]), digits.y[rows], label_smoothing=smoothing).backward()
        optimizer.step()
    found, row = signs(digits, model.eval())
    assert "squashed_outputs" not in found and (row["clean_acc"] > 0.85) == (steps > 0)


def test_outputs_between_zero_and_one_have_their_own_sign_alone(digits):
    found, _ = signs(digits, After(digits.model, torch.sigmoid))
    assert set(found) - {"zero_gradient"} == {"bounded_outputs"}


def test_what_is_not_finite_has_no_spread():
    nan = torch.full((3, 4), float("nan"))
    assert ends(nan).near == 0
    logits = torch.tensor([[0.0, 1.0], [float("inf"), 0.0], [2.0, 0.0], [0.0, 1.99]])
    assert (ends(logits).widest, ends(logits).near, ends(logits).classes) == (2.0, 2, 2)
