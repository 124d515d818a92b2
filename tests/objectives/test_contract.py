"""The contract of every registered objective; a new one is tested by being registered."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rayat.attacks.base import Adversarial
from rayat.registry import OBJECTIVES
from rayat.testing import objective_contract


@pytest.fixture(params=OBJECTIVES.names())
def objective(request):
    return OBJECTIVES.build(request.param)


def test_it_keeps_what_is_asked_of_every_objective(objective):
    objective_contract(objective)


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """A process group of one worker: enough for the wrapper to count its exchanges."""
    place = tmp_path_factory.mktemp("group") / "store"
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_one_call_of_the_wrapped_model_and_the_gradients_of_the_bare_one(objective, case, group):
    model, *batch = case
    wrapped = DistributedDataParallel(copy.deepcopy(model))
    calls = []
    wrapped.register_forward_hook(lambda *_: calls.append(1))
    objective.loss(wrapped, *batch).loss.mean().backward()
    objective.loss(model, *batch).loss.mean().backward()
    assert calls == [1], "DDP would exchange gradients more than once"
    for ours, theirs in zip(model.parameters(), wrapped.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_without_an_attack_no_image_passes_twice(objective, case):
    if objective.kind == "gradalign":
        pytest.skip("looks around the images whether or not they were attacked")
    model, x, _, y = case
    outcome = objective.loss(model, x, Adversarial(x, 0, 0), y)
    assert outcome.forward == outcome.backward == 7
    assert outcome.clean_logits is outcome.adv_logits, "there was nothing to be robust to"
    apart = objective.loss(model, x, Adversarial(x.clone(), 0, 0), y)
    torch.testing.assert_close(outcome.loss, apart.loss)


def test_the_same_backward_pass_fills_the_images_gradient(objective, case):
    model, x, adv, y = case
    leaf = Adversarial(adv.x.clone().requires_grad_(True), 0, 0)
    objective.loss(model, x, leaf, y).loss.sum().backward()
    assert leaf.x.grad is not None and (leaf.x.grad != 0).any()


def test_bf16_logits_lose_no_more_than_their_own_rounding(objective, case):
    """A divergence computed in bf16 would be off by as much as it is."""
    if objective.kind == "gradalign":
        pytest.skip("asks the network itself for gradients, which a wrapped call does not give")
    model, x, _, y = case
    near = Adversarial((x + 0.02).bfloat16(), 0, 0)
    model, x = model.bfloat16(), x.bfloat16()
    coarse = objective.loss(model, x, near, y).loss
    assert coarse.dtype == torch.float32 or objective.kind == "madry"

    def exact(images):
        return model(images).double()

    torch.testing.assert_close(
        coarse.double(), objective.loss(exact, x, near, y).loss, rtol=1e-2, atol=1e-2
    )
