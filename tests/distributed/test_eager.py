"""DDP without the compiler against torch's own, which is its reference."""

from __future__ import annotations

import subprocess
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rayat.distributed.eager import COMPILER, EagerDataParallel

ALONE = """
import sys, torch
import torch.distributed as dist
from torch import nn
from rayat.distributed.exchange import Exchange, bare

store = dist.FileStore(sys.argv[1], 1)
dist.init_process_group("gloo", store=store, rank=0, world_size=1)
net = nn.Linear(3, 2)
model = Exchange(0, 2).wrap(net)
for _ in range(2):
    model(torch.ones(4, 3)).sum().backward()
assert bare(model) is net and net.weight.grad.sum() == 2 * 4 * 6
dist.destroy_process_group()
assert "torch._dynamo" not in sys.modules
import torch._dynamo
assert torch._dynamo.utils.get_optimize_ddp_mode() == "ddp_optimizer"
"""


def test_a_fresh_worker_exchanges_gradients_without_importing_the_compiler(tmp_path):
    subprocess.run([sys.executable, "-c", ALONE, str(tmp_path / "store")], check=True)


def test_numbers_are_torchs_and_the_compiler_is_as_it_was(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        grads = []
        for make in (DistributedDataParallel, EagerDataParallel):
            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
            make(net)(torch.linspace(-1, 1, 12).view(4, 3)).square().sum().backward()
            grads.append([p.grad for p in net.parameters()])
            # The first of them imported it, so that the other has nothing to answer for.
            assert hasattr(getattr(torch, COMPILER), "config")
        assert all(torch.equal(*pair) for pair in zip(*grads, strict=True))
    finally:
        dist.destroy_process_group()


OTHER = """
import sys, torch
from rayat.distributed.eager import _answered

with _answered():
    assert torch._dynamo.utils.get_optimize_ddp_mode() == "ddp_optimizer"
    assert "torch._dynamo" not in sys.modules
    assert torch._dynamo.config.cache_size_limit and torch._dynamo.utils.counters is not None
assert torch._dynamo is sys.modules["torch._dynamo"]
"""


def test_what_another_torch_may_ask_of_the_compiler_it_answers_itself():
    subprocess.run([sys.executable, "-c", OTHER], check=True)
