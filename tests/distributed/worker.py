"""One worker of a group, as a script: `worker.py RANK WORLD FOLDER MODE...`.

Each mode leaves what the tests compare in FOLDER; the group is one for all modes, because starting
processes is what takes the time.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from rayat.config import TrialConfig
from rayat.distributed.exchange import Exchange
from rayat.training.average import Average
from rayat.training.counters import Clock
from rayat.training.epoch import train_epoch
from rayat.training.inner import Inner
from rayat.training.setup import Training

CONFIG = {
    "data": {"name": "digits", "train_size": 256, "val_size": 64},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "epochs": 3,
    "batch_size": 16,
    "attack": {"name": "pgd", "eps": 0.2, "steps": 3, "random_start": False},
    "lr": {"shape": "constant", "peak": 0.1},
    "eval": {"steps": 2, "batch_size": 20},
}


class Loader:
    """40 fixed images in an order drawn from the stream it is given."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.rand(40, 1, 6, 6, generator=generator)
        self.y = torch.randint(3, (40,), generator=generator)

    def plan(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randperm(40, generator=generator)

    def batch(self, plan: torch.Tensor, start: int, stop: int):
        return self.x[plan[start:stop]], self.y[plan[start:stop]]


def network(*extra: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), *extra, nn.Tanh(), nn.Flatten(), nn.Linear(216, 3)
    )


def perturbed(rank: int, world: int, folder: Path) -> None:
    """Train with perturbed weights, and average them."""
    steps(rank, world, folder / "perturbed", {"awp": 0.05, "average": "ema", "decay": 0.8})


def steps(rank: int, world: int, folder: Path, weights: dict[str, Any] | None = None) -> None:
    """Train three epochs without BatchNorm and randomness; keep weights and reports."""
    folder.mkdir(exist_ok=True)
    config = TrialConfig.parse({**CONFIG, "weights": weights or {}})
    model = network()
    if rank:  # the wrapper must bring every worker to rank 0's weights
        with torch.no_grad():
            for p in model.parameters():
                p.add_(1.0)
    training = begin(config, model, Exchange(rank, world))
    reports = [train_epoch(training, epoch) for epoch in (1, 2, 3)]
    save_file(training.validated.state_dict(), folder / f"weights-{world}-{rank}.safetensors")
    (folder / f"reports-{world}-{rank}.json").write_text(json.dumps(reports))


def begin(config: TrialConfig, model: nn.Module, exchange: Exchange) -> Training:
    """Return a training on the 40 images."""
    return Training(
        config,
        model,
        exchange.wrap(model),
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        Loader(),
        40,
        exchange,
        Clock(),
        Inner(config, (1, 6, 6), 3, exchange),
        average=Average(config.weights, model) if config.weights.average != "none" else None,
    )


def learned(rank: int, world: int, folder: Path) -> None:
    """Train with an attack that learns and an objective that asks the bare network."""
    attack = {"name": "fgsm-sdi", "eps": 0.2, "width": 4, "every": 2}
    config = TrialConfig.parse(CONFIG).replace({"attack": attack, "objective.name": "gradalign"})
    model = network()
    training = begin(config, model, Exchange(rank, world))
    train_epoch(training, 1)
    save_file(model.state_dict(), folder / f"model-{rank}.safetensors")
    starter = training.inner.state_dict()["fgsm-sdi"]["net"]
    save_file(starter, folder / f"starter-{rank}.safetensors")


def norms(rank: int, world: int, folder: Path) -> None:
    """Let every worker's BatchNorm see another batch, then average."""
    model, exchange = network(nn.BatchNorm2d(6)), Exchange(rank, world)
    x, _ = Loader().batch(torch.arange(40), 10 * rank, 10 * rank + 10)
    exchange.wrap(model).train()(x)
    before = {k: v.clone() for k, v in model[1].named_buffers()}
    exchange.average_norms(model)
    save_file(before, folder / f"before-{rank}.safetensors")
    save_file(dict(model[1].named_buffers()), folder / f"after-{rank}.safetensors")


@dataclass
class Context:
    """A launcher's context over files."""

    rank: int
    world_size: int
    folder: Path
    reported: int = 0
    device: str = "cpu"
    rows: list = field(default_factory=list)

    def data(self, source):
        from rayat.data.prepare import prepare

        return prepare(source)

    def report(self, row):
        self.rows.append(dict(row))


def trial(rank: int, world: int, folder: Path) -> None:
    """Run a whole trial with BatchNorm and random starts, then start it again when it is done."""
    from rayat.training.run import run

    config = TrialConfig.parse(CONFIG).replace(
        {"workers": world, "attack.random_start": True, "batch_size": 64}
    )
    for name in ("rows", "again"):
        context = Context(rank, world, folder / "trial")
        run(config, context)
        (folder / f"{name}-{rank}.json").write_text(json.dumps(context.rows))


def teacher(rank: int, world: int, folder: Path) -> None:
    """Label images by a teacher that the workers train together."""
    from rayat.data.prepare import prepare
    from rayat.training.teacher import taught

    config = TrialConfig.parse(CONFIG).replace(
        {"workers": world, "data.labelled": 0.5, "teacher.epochs": 1}
    )
    exchange = Exchange(rank, world)
    found, cost = taught(config, prepare(config.data), exchange, folder / "taught", Clock())
    text = json.dumps({"y": found.train.y.tolist(), "cost": cost})
    (folder / f"taught-{rank}.json").write_text(text)


def sums(rank: int, world: int, folder: Path) -> None:
    """Add numbers that single precision would spoil."""
    exchange = Exchange(rank, world)
    total = {
        **exchange.sums({"big": 2**53 + rank, "zero": 0}),
        **exchange.sums({"small": 0.1 * (rank + 1)}),
        **exchange.sums({}),
    }
    (folder / f"sums-{rank}.json").write_text(json.dumps(total))


if __name__ == "__main__":
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    for mode in sys.argv[4:]:
        globals()[mode](rank, world, folder)
    dist.destroy_process_group()
