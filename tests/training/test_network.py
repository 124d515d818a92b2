from __future__ import annotations

import torch

from rayat.training.network import all_finite, build_model


def test_weights_are_a_function_of_the_seed_and_channels_last(small, launch):
    prepared = launch().data(small().data)
    first, second, other = (build_model(small(seed=seed), prepared) for seed in (0, 0, 1))
    weights = [dict(m.named_parameters())["body.stem.weight"] for m in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    convolutions = [m for m in first.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(c.weight.is_contiguous(memory_format=torch.channels_last) for c in convolutions)


def test_a_single_broken_number_is_found_in_weights_and_statistics():
    norm = torch.nn.BatchNorm2d(3)
    assert all_finite(norm)
    for tensor, value in ((norm.weight, float("nan")), (norm.running_var, float("inf"))):
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor[1] = value
            assert not all_finite(norm)
            tensor.copy_(kept)
    assert all_finite(norm)
