from __future__ import annotations

import subprocess
import sys

import torch

from rayat.registry import OPTIMIZERS
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


def test_a_fresh_process_trains_without_importing_the_compiler():
    """The compiler is 2 to 3 CPU-seconds of every worker."""
    code = """
import sys, torch
from rayat.registry import ATTACKS, MODELS, OPTIMIZERS
from rayat.training.process import prepare_process

prepare_process(1)
net = MODELS.build("preactresnet").build((1, 8, 8), 10, 0)
optimizer = OPTIMIZERS.build(sys.argv[1]).make(net.parameters(), 0.1)
x, y = torch.rand(2, 1, 8, 8), torch.arange(2)
with torch.autocast("cpu", torch.bfloat16):
    adv = ATTACKS.build("fgsm-rs")(net, x, y, torch.Generator())
    loss = net(adv.x).square().mean()
loss.backward()
optimizer.step()
optimizer.zero_grad(set_to_none=True)
optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    for optimizer in OPTIMIZERS.names():
        subprocess.run([sys.executable, "-c", code, optimizer], check=True)
