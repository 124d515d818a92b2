from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.attacks.base import Adversarial, Outcome
from rayat.distributed.exchange import Exchange
from rayat.errors import DataError
from rayat.training.epoch import train_epoch
from rayat.training.setup import Training, begin
from rayat.training.step import Sums


@pytest.fixture
def training(small, launch):
    """Return a maker of the small trial's `Training`, ready for its first epoch."""

    def make(exchange: Exchange | None = None, size: int | None = None, **changes) -> Training:
        config = small(**changes)
        prepared = launch().data(config.data)
        made = begin(config, prepared)
        made.size = made.size if size is None else size
        made.exchange = exchange or made.exchange
        return made

    return make


@pytest.mark.parametrize(
    ("size", "batch", "workers", "share", "steps"),
    [
        (256, 64, 1, 64, 4),
        (256, 100, 1, 100, 2),
        (256, 64, 4, 16, 4),
        (256, 1000, 1, 256, 1),
        (255, 1000, 2, 127, 1),
        (3, 4, 2, 1, 1),
    ],
)
def test_every_worker_takes_an_equal_share_of_every_step(
    training, size, batch, workers, share, steps
):
    made = training(Exchange(0, workers), size, batch_size=batch)
    assert (made.share, made.steps) == (share, steps)


def test_fewer_images_than_workers_are_refused(training):
    with pytest.raises(DataError, match="3 training images cannot be split over workers=4"):
        _ = training(Exchange(0, 4), 3).share


def test_the_rate_is_set_at_every_step_from_the_share_of_steps_done(training, monkeypatch):
    made = training(epochs=2)
    rates = []
    step = made.optimizer.step
    monkeypatch.setattr(
        made.optimizer,
        "step",
        lambda: rates.append(made.optimizer.param_groups[0]["lr"]) or step(),
    )
    report = [train_epoch(made, epoch) for epoch in (1, 2)][-1]
    assert rates == [made.config.lr.lr(s / 8) for s in range(1, 9)]
    assert report["lr"] == rates[-1]


def test_an_epoch_does_not_depend_on_what_was_drawn_before(training):
    first, second = training(), training()
    torch.rand(1000)
    second.model.load_state_dict(first.model.state_dict())
    assert train_epoch(first, 3) == train_epoch(second, 3)


def test_attack_and_training_see_the_augmented_batch_in_channels_last(training):
    made = training(**{"data.augment": "crop", "data.padding": 1})
    seen = []
    made.model.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    train_epoch(made, 1)
    assert len(seen) == 4 * 3 and all(seen)


def test_no_gradient_is_left_between_steps_and_the_network_ends_in_training_mode(training):
    made = training()
    train_epoch(made, 1)
    assert all(p.grad is None and p.requires_grad for p in made.model.parameters())
    assert all(module.training for module in made.model.modules())


def test_running_statistics_move_once_per_step_and_not_by_the_attack(training):
    made = training(**{"attack.steps": 5, "attack.bn_mode": "batch"})
    train_epoch(made, 1)
    norms = [m for m in made.model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(norm.num_batches_tracked == 4 for norm in norms)


def test_sums_keep_an_attacks_statistics_and_tell_clean_from_robust():
    sums, y = Sums(), torch.tensor([0, 1])
    logits, other = torch.eye(2), torch.eye(2).flip(0)
    adv = Adversarial(torch.zeros(2), 2, 2, {"fosc": torch.tensor([1.0, 3.0])})
    sums.add(Outcome(torch.tensor([0.5, 0.25]), other, logits, 2, 2), adv, y)
    sums.add(Outcome(torch.tensor([0.5, 0.25]), other, logits, 2, 2), adv, y)
    values = {name: float(value) for name, value in sums.values.items()}
    assert values == {
        "train_loss": 1.5,
        "fosc": 8.0,
        "train_clean_acc": 4.0,
        "train_robust_acc": 0.0,
    }
    sums.add(Outcome(torch.tensor([0.5, 0.25]), other, logits, 2, 2), Adversarial(adv.x, 2, 2), y)
    assert sums.counts == {"train_loss": 6, "fosc": 4, "train_clean_acc": 6, "train_robust_acc": 6}


def test_every_epoch_and_worker_draws_its_own_order_and_noise(training, monkeypatch):
    def draws(rank: int, epoch: int):
        """Return the first batch's rows and the noise of its attack's start."""
        made = training(Exchange(rank))
        rows, starts = [], []
        batch = made.loader.batch

        def grey(plan, start, stop):
            rows.append(plan.rows[start:stop].tolist())
            x, y = batch(plan, start, stop)
            return torch.full_like(x, 0.5), y

        made.loader.batch = grey
        made.model.register_forward_pre_hook(lambda module, args: starts.append(args[0].clone()))
        train_epoch(made, epoch)
        return tuple(rows[0]), tuple(starts[0].flatten()[:3].tolist())

    places = [(0, 1), (0, 2), (1, 1)]
    orders, noises = zip(*(draws(*place) for place in places), strict=True)
    assert orders[0] != orders[1], "another epoch, another order"
    assert len(set(noises)) == 3, "another epoch or worker, another noise"
