"""The contract of every registered objective; a new one is tested by being registered."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rayat.attacks.base import Adversarial
from rayat.columns import columns_of
from rayat.registry import OBJECTIVES


@pytest.fixture(params=OBJECTIVES.names())
def objective(request):
    return OBJECTIVES.build(request.param)


def test_one_finite_loss_per_sample_with_a_graph(objective, case):
    outcome = objective.loss(*case)
    assert outcome.loss.shape == (7,) and outcome.loss.isfinite().all()
    assert outcome.adv_logits.shape == (7, 4)
    outcome.loss.mean().backward()
    assert all(p.grad is not None for p in case[0].parameters())


def test_it_reports_only_columns_that_it_declares(objective, case):
    assert set(objective.loss(*case).info) <= set(columns_of(objective))


def test_a_sample_does_not_see_its_neighbours(objective, case):
    model, x, adv, y = case
    whole = objective.loss(model, x, adv, y).loss
    for i in range(7):
        alone = Adversarial(adv.x[i : i + 1], 1, 1)
        loss = objective.loss(model, x[i : i + 1], alone, y[i : i + 1]).loss
        torch.testing.assert_close(loss, whole[i : i + 1])


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


def test_passes_are_what_the_model_saw(objective, case):
    seen = {"forward": 0, "backward": 0}

    def count(module, args, output):
        seen["forward"] += len(output)
        output.register_hook(lambda g: seen.update(backward=seen["backward"] + len(g)))

    case[0].register_forward_hook(count)
    outcome = objective.loss(*case)
    outcome.loss.sum().backward()
    assert {"forward": outcome.forward, "backward": outcome.backward} == seen


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


def test_images_are_not_modified_and_nothing_global_is_random(objective, case):
    model, x, adv, y = case
    kept, state = (x.clone(), adv.x.clone()), torch.get_rng_state()
    objective.loss(model, x, adv, y)
    assert torch.equal(x, kept[0]) and torch.equal(adv.x, kept[1])
    assert torch.equal(state, torch.get_rng_state())
