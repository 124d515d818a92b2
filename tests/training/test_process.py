from __future__ import annotations

import torch

from rayat.training.process import prepare_process


def test_everything_global_is_set_whatever_was_left_behind():
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    prepare_process(2)
    assert torch.get_num_threads() == 2
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert torch.are_deterministic_algorithms_enabled()
    prepare_process(1)
    assert torch.get_num_threads() == 1
