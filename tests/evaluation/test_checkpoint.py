from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.attacks.pgd import PGD
from rayat.errors import LedgerError
from rayat.evaluation.checkpoint import evaluate_checkpoint
from rayat.training import checkpoints
from rayat.training.run import run
from rayat.training.validate import Tally, evaluate


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
        )


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.rand(n, 1, 6, 6, generator=generator), torch.randint(3, (n,), generator=generator))
        for n in (8, 8, 5)
    ]


def test_counts(net, batches):
    tally = evaluate(net, batches, PGD(eps=0.1, steps=3), 0, "val")
    net.eval()
    right = sum(int((net(x).argmax(1) == y).sum()) for x, y in batches)
    assert tally.n == 21 and tally.clean == right and tally.robust <= right
    assert (tally.forward, tally.backward) == (21 * 5, 21 * 3)


def test_radius_zero_is_clean_accuracy(net, batches):
    tally = evaluate(net, batches, PGD(eps=0.0), 0, "val")
    assert tally.robust == tally.clean
    assert (tally.forward, tally.backward) == (42, 0)


def test_model_and_global_randomness_are_left_as_found(net, batches):
    net.train()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    randomness = torch.get_rng_state()
    evaluate(net, batches, PGD(eps=0.1, steps=2), 0, "val")
    assert net.training and all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert torch.equal(randomness, torch.get_rng_state())


def test_repeats_and_shares_over_workers_without_a_change(net, batches):
    class Share:
        """One of two workers, its sums left as they are."""

        world_size, device = 2, "cpu"

        def __init__(self, rank):
            self.rank = rank

        def sums(self, values):
            return values

    attack = PGD(eps=0.1, steps=2)
    whole = evaluate(net, batches, attack, 0, "val")
    assert evaluate(net, batches, attack, 0, "val") == whole
    parts = [evaluate(net, batches, attack, 0, "val", Share(rank)) for rank in (0, 1)]
    total = Tally(*(sum(values) for values in zip(*(vars(p).values() for p in parts), strict=True)))
    assert total == whole


def test_a_batch_in_parts_is_the_batch(net, batches, monkeypatch):
    """The images that the network sees are those of the whole batch, to the bit, few at a time."""
    seen: list[torch.Tensor] = []
    net.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))

    def images(part):
        seen.clear()
        monkeypatch.setattr("rayat.training.validate.CPU_PART", part)
        tally = evaluate(net, batches, PGD(eps=0.1, steps=1), 0, "val")
        assert max(map(len, seen)) == min(part, 8)
        return tally, torch.cat(seen[0::3]), torch.cat(seen[2::3])  # of attack, clean, adversarial

    whole, parts = images(100), images(3)
    assert whole[0] == parts[0]
    assert torch.equal(whole[1], parts[1]) and torch.allclose(whole[2], parts[2], atol=1e-6)


def test_a_checkpoint_evaluates_to_the_same_row_every_time(small, launch):
    config = small(epochs=2)
    context = launch()
    run(config, context)
    prepared = context.data(config.data)
    first, second = (
        evaluate_checkpoint(context.folder, "best", config, prepared) for _ in range(2)
    )
    assert first.pop("seconds") > 0 and second.pop("seconds") > 0
    assert first == second
    assert first["suite"] == "pgd-3" and first["split"] == "test" and first["n"] == 64
    assert first["eps"] == 0.2 and first["precision"] == "fp32"
    right = round(first["clean_acc"] * 64)  # what is wrong as it is is not attacked
    assert 64 + right <= first["fwd_passes"] <= 64 + right * 4
    assert first["bwd_passes"] <= right * 3
    assert 0 <= first["robust_acc"] <= first["clean_acc"] <= 1


def test_the_row_of_a_checkpoint_is_one_of_the_ledger(small, launch):
    from rayat.ledger.schema import EVALS

    config = small(epochs=1)
    context = launch()
    run(config, context)
    row = evaluate_checkpoint(context.folder, "last", config, context.data(config.data), "val")
    assert set(row) == set(EVALS.names) - {"trial_id"}


def test_the_validation_row_is_that_of_the_training(small, launch):
    """The checkpoint, read back, is the network that was validated."""
    config = small(epochs=2, **{"eval.final_steps": 2, "eval.final_size": None})
    context = launch()
    run(config, context)
    row = evaluate_checkpoint(context.folder, "last", config, context.data(config.data), "val")
    assert row["clean_acc"] == context.rows[-1]["val_clean_acc"]


def test_a_missing_checkpoint_is_named(small, launch):
    context = launch()
    with pytest.raises(LedgerError, match="ended before its first one"):
        evaluate_checkpoint(context.folder, "best", small(), context.data(small().data))


def test_foreign_weights_are_refused(small, launch):
    context = launch()
    states = {"model": nn.Linear(2, 2).state_dict()}
    checkpoints.save(context.folder, "last", small(), [{"epoch": 1}], states)
    with pytest.raises(RuntimeError, match="Missing key"):
        evaluate_checkpoint(context.folder, "last", small(), context.data(small().data))


def test_every_batch_has_its_own_random_start(net):
    x, y = torch.full((4, 1, 6, 6), 0.5), torch.zeros(4, dtype=torch.long)
    seen = []
    net.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))
    evaluate(net, [(x, y), (x, y)], PGD(eps=0.1, steps=1), 0, "val")
    starts = seen[0], seen[3]  # of three passes a batch: attack, clean, adversarial
    assert not torch.equal(*starts)
    seen.clear()
    evaluate(net, [(x, y)], PGD(eps=0.1, steps=1), 0, "test")
    assert not torch.equal(seen[0], starts[0]), "another split, another start"
