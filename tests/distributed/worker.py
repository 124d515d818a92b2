"""A group of workers, as a script: `worker.py WORLD FOLDER MODE...`.

Each mode is a function and leaves what the tests compare in FOLDER. The group is one for all modes,
and its workers are forks of a process that has imported torch and computed nothing, because
starting processes is what takes the time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from rayat.config import TrialConfig
from rayat.distributed.exchange import Exchange
from rayat.distributed.waiting import Waiting
from rayat.models.synced import synchronise
from rayat.training.average import Average
from rayat.training.counters import Clock
from rayat.training.epoch import train_epoch
from rayat.training.run import run
from rayat.training.setup import Training, make_reducer
from rayat.training.training_attack import TrainingAttack

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


EXCHANGES = {
    "none": "none",
    "fp16": "fp16",
    "bf16": "bf16",
    "powersgd": {"name": "powersgd", "rank": 2},
    "powersgd-full": {"name": "powersgd", "rank": 64},
    "qsgd": "qsgd",
    "qsgd-8": {"name": "qsgd", "bits": 8, "per": "bucket", "bucket_size": 32},
    "qsgd-released": {"name": "qsgd", "sides": 1, "scheme": "gather"},
    "qsgd-gather-2": {"name": "qsgd", "bits": 4, "sides": 2, "scheme": "gather"},
    "qsgd-scatter-1": {"name": "qsgd", "bits": 5, "sides": 1, "scheme": "scatter"},
    "qsgd-feedback": {
        "name": "qsgd",
        "bits": 2,
        "per": "bucket",
        "bucket_size": 4,
        "scheme": "scatter",
        "error_feedback": True,
    },
}
UNBIASED = ("qsgd", "qsgd-8", "qsgd-released", "qsgd-gather-2")
"""Of these, what comes out is the mean on average."""


def network(*extra: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), *extra, nn.Tanh(), nn.Flatten(), nn.Linear(216, 3)
    )


def begin(config: TrialConfig, model: nn.Module, exchange: Exchange) -> Training:
    """Return the model's training on the 40 images."""
    reducer = make_reducer(config, model, exchange)
    return Training(
        config,
        model,
        exchange.wrap(model, reducer),
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        Loader(),
        40,
        exchange,
        Clock(),
        TrainingAttack(config, (1, 6, 6), 3, exchange),
        average=Average(config.weights, model) if config.weights.average != "none" else None,
        reducer=reducer,
    )


def perturbed(rank: int, world: int, folder: Path) -> None:
    """Train with perturbed weights, and average them."""
    steps(rank, world, folder / "perturbed", {"awp": 0.05, "average": "ema", "decay": 0.8})


def steps(rank: int, world: int, folder: Path, weights: dict[str, Any] | None = None) -> None:
    """Train ten steps without BatchNorm and randomness; keep weights and reports."""
    folder.mkdir(exist_ok=True)
    config = TrialConfig.parse({**CONFIG, "epochs": 5, "weights": weights or {}})
    model = network()
    if rank:  # the wrapper must bring every worker to rank 0's weights
        with torch.no_grad():
            for p in model.parameters():
                p.add_(1.0)
    training = begin(config, model, Exchange(rank, world))
    reports = [train_epoch(training, epoch) for epoch in range(1, 6)]
    save_file(training.validated.state_dict(), folder / f"weights-{world}-{rank}.safetensors")
    (folder / f"reports-{world}-{rank}.json").write_text(json.dumps(reports))


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


def synced(rank: int, world: int, folder: Path) -> None:
    """Train ten steps with BatchNorm over the batch of all workers; keep the model."""
    config = TrialConfig.parse(CONFIG).replace({"epochs": 5})
    model, exchange = network(nn.BatchNorm2d(6)), Exchange(rank, world)
    if world > 1:
        synchronise(model)
    training = begin(config, model, exchange)
    for epoch in range(1, 6):
        train_epoch(training, epoch)
    save_file(model.state_dict(), folder / f"synced-{world}-{rank}.safetensors")


class Sent:
    """Counts the bytes that a worker hands to others in the collectives of gradient exchange."""

    def __init__(self, world: int) -> None:
        self.total = 0
        for name, cost in {
            "all_reduce": lambda x: 2 * (world - 1) * x.nbytes // world,
            "all_gather": lambda _, x: (world - 1) * x.nbytes,
            "all_to_all_single": lambda _, x: (world - 1) * x.nbytes // world,
        }.items():
            setattr(dist, name, self.counted(getattr(dist, name), cost))

    def counted(self, collective, cost):
        def call(*tensors, **options):
            if tensors[-1].element_size() < 8:  # the sums of an epoch's report are of 64 bits
                self.total += cost(*tensors)
            return collective(*tensors, **options)

        return call


def exchanges(rank: int, world: int, folder: Path) -> None:
    """Train with every exchange; keep the weights' hashes after each epoch and the bytes sent."""
    sent, kept = Sent(world), {}
    for name, spec in EXCHANGES.items():
        config = TrialConfig.parse(CONFIG).replace({"exchange": spec})
        training = begin(config, network(), Exchange(rank, world))
        sent.total, hashes = 0, []
        for epoch in (1, 2, 3):
            report = train_epoch(training, epoch)
            values = b"".join(p.numpy().tobytes() for p in training.model.state_dict().values())
            hashes.append(hashlib.sha256(values).hexdigest())
        kept[name] = {
            "hashes": hashes,
            "sent": sent.total,
            "reported": 3 * report["comm_bytes"],
            "state": {
                k: v.abs().sum().item() for k, v in training.state_dict()["exchange"].items()
            },
        }
        save_file(training.model.state_dict(), folder / f"{name}-{world}-{rank}.safetensors")
    (folder / f"exchanges-{world}-{rank}.json").write_text(json.dumps(kept))


def means(rank: int, world: int, folder: Path) -> None:
    """Exchange one gradient many times; keep the errors of their mean, in standard errors."""
    exchange, kept, times = Exchange(rank, world), {}, 800 // world
    weights = [nn.Parameter(torch.zeros(shape)) for shape in ((5, 7), (1,), (40,), (0,), (3,))]
    gradient = torch.randn(79, generator=torch.Generator().manual_seed(rank))
    gradient[-3:] = 0
    exchange.average([true := gradient.clone()])
    for name in UNBIASED:
        reducer = TrialConfig.parse({"exchange": EXCHANGES[name]}).exchange.reducer(
            weights, exchange
        )
        reducer.begin(*(torch.Generator().manual_seed(seed) for seed in (rank, world)))
        draws = torch.stack([reducer.mean(gradient.clone()) for _ in range(times)])
        error = (draws.mean(0) - true).abs()
        spread = draws.std(0) / times**0.5
        kept[name] = {
            "worst": (error / (spread + 1e-6)).max().item(),
            "bias": (draws - true).mean().item() / (draws.mean(1).std().item() / times**0.5 + 1e-9),
            "zeros": draws[:, -3:].abs().max().item(),
        }
    (folder / f"means-{world}-{rank}.json").write_text(json.dumps(kept))


def norms(rank: int, world: int, folder: Path) -> None:
    """Let every worker's BatchNorm see another batch, then average."""
    model, exchange = network(nn.BatchNorm2d(6)), Exchange(rank, world)
    x, _ = Loader().batch(torch.arange(40), 10 * rank, 10 * rank + 10)
    exchange.wrap(model).train()(x)
    before = {k: v.clone() for k, v in model[1].named_buffers()}
    save_file(before, folder / f"before-{rank}.safetensors")
    for policy in ("sync", "mean", "local"):
        for key, value in before.items():
            model[1].get_buffer(key).copy_(value)
        exchange.settle_norms(model, policy)
        save_file(dict(model[1].named_buffers()), folder / f"{policy}-{rank}.safetensors")


BUSY = 0.4


def busy(_: Any = None) -> None:
    """Compute for BUSY seconds."""
    end = time.perf_counter() + BUSY
    while time.perf_counter() < end:
        torch.rand(100).sum()


class Slow(nn.Module):
    """A network whose backward pass computes for BUSY seconds after its head's gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.below(x)
        hidden.register_hook(busy)
        return self.head(hidden)


def waited(rank: int, world: int, folder: Path) -> None:
    """Keep what is counted as waiting: of equal workers, and where worker 1 comes late."""
    kept, exchange = {}, Exchange(rank, world)
    for name in ("none", "fp16", "qsgd"):
        model, waiting = Slow(), Waiting()
        config = TrialConfig.parse({"exchange": EXCHANGES[name], "workers": world})
        reducer = make_reducer(config, model, exchange)
        if reducer is not None:
            reducer.begin(torch.Generator(), torch.Generator())
        wrapped = exchange.wrap(model, reducer, waiting)
        for when in ("first", "equal", "late"):
            exchange.barrier()
            if rank == 1 and when == "late":
                busy()
            waiting.backward(wrapped(torch.ones(2, 4)).sum())
            kept[f"{name}-{when}"] = waiting.take()
        assert waiting.take() == 0
    (folder / f"waited-{rank}.json").write_text(json.dumps(kept))


@dataclass
class Context:
    """A launcher's context over files."""

    rank: int
    world_size: int
    folder: Path
    reported: int = 0
    die_at: int | None = None
    device: str = "cpu"
    rows: list = field(default_factory=list)

    def data(self, source):
        from rayat.data.prepare import prepare

        return prepare(source)

    def report(self, row):
        if row["epoch"] == self.die_at:
            raise SystemExit("killed between checkpoint and report")
        self.rows.append(dict(row))


def trial(rank: int, world: int, folder: Path) -> None:
    """Run a whole trial with BatchNorm and random starts, then start it again when it is done."""
    config = TrialConfig.parse(CONFIG).replace(
        {"workers": world, "attack.random_start": True, "batch_size": 64}
    )
    for name in ("rows", "again"):
        context = Context(rank, world, folder / "trial")
        run(config, context)
        (folder / f"{name}-{rank}.json").write_text(json.dumps(context.rows))


def resumed(rank: int, world: int, folder: Path) -> None:
    """Run trials whose exchange has a memory in one piece, cut between two epochs, and probed."""
    for name in ("powersgd", "qsgd-feedback"):
        changes = {"workers": world, "batch_size": 64, "exchange": EXCHANGES[name], "epochs": 4}
        config = TrialConfig.parse(CONFIG).replace(changes)
        one = Context(rank, world, folder / f"one-{name}")
        run(config, one)
        cut = Context(rank, world, folder / f"cut-{name}", die_at=2)
        try:
            run(config, cut)
        except SystemExit:
            again = Context(rank, world, cut.folder, reported=1)
            run(config, again)
            rows = cut.rows + again.rows
        probed = Context(rank, world, folder / f"probed-{name}")
        run(config.replace({"probe": {"at": [1, 2], "epochs": 2}}), probed)
        found = [one.rows, rows, probed.rows]
        (folder / f"resumed-{name}-{rank}.json").write_text(json.dumps(found))


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


def work(rank: int, world: int, folder: Path, modes: list[str]) -> None:
    """Be one worker of the group."""
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    for mode in modes:
        globals()[mode](rank, world, folder)
    dist.destroy_process_group()


def forked(world: int, folder: Path, modes: list[str]) -> int:
    """Fork the workers and wait for all; return how many did not end well."""
    pids = []
    for rank in range(world):
        pids.append(os.fork())
        if pids[-1] == 0:
            code = 1
            try:
                work(rank, world, folder, modes)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
    return sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)


if __name__ == "__main__":
    sys.exit(forked(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
