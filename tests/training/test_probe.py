"""Cool-down probes: what they tell, what they cost, and that the training itself never knows."""

from __future__ import annotations

import pytest
import torch

from rayat.data.identity import describe
from rayat.data.prepare import prepare
from rayat.errors import ConfigError
from rayat.planning.estimate import Estimate, validations
from rayat.training import checkpoints
from rayat.training.keys import chain
from rayat.training.run import run

OWN = ("probe_clean_acc", "probe_robust_acc", "probe_passes", "probe_seconds")
COSTS = ("eval_fwd_passes", "eval_bwd_passes", "passes_cum")
TRIALS = {
    "pgd": {},
    # What it remembers from batch to batch, and a selection, have to come back too.
    "free": {"attack": {"name": "free", "eps": 0.2, "replays": 2}},
    "sdi": {"attack": {"name": "fgsm-sdi", "eps": 0.2, "width": 4, "every": 2}},
    "pruned": {"pruning": {"name": "random", "fraction": 0.5, "every": 2}},
    "lamb": {"optimizer": {"name": "lamb"}},
}


def trained(config, context):
    run(config, context)
    last = checkpoints.load(context.folder, "last", config)
    return context.rows, last.states


def plain(rows):
    return [{k: v for k, v in r.items() if k not in (*OWN, *COSTS)} for r in rows]


def flat(state):
    if isinstance(state, torch.Tensor):
        return [state.tolist()]
    if isinstance(state, dict):
        return [(k, leaf) for k, v in sorted(state.items()) for leaf in flat(v)]
    return [leaf for v in state for leaf in flat(v)] if isinstance(state, list) else [state]


@pytest.mark.parametrize("name", TRIALS)
def test_a_training_that_is_probed_is_the_same_training(name, small, launch, timeless):
    alone = small(**TRIALS[name])
    (rows, state), (probed, after) = (
        trained(config, launch(f"t{number}"))
        for number, config in enumerate((alone, alone.replace({"probe.at": [1, 2]})))
    )
    assert plain(timeless(probed)) == plain(timeless(rows))
    assert flat(after) == flat(state)
    measured = [row["epoch"] for row in probed if row["probe_robust_acc"] is not None]
    assert measured == [1, 2]


def test_a_probe_is_the_training_whose_rate_falls_then(small, launch):
    """Of halves and eighths, so that both ways to write the rates give the same floats."""
    flat_rate = {"lr": {"shape": "constant", "peak": 0.125}, "epochs": 16}
    falling = {"lr": {"shape": "trapezoid", "peak": 0.125, "rise": 0, "decay": 0.5}, "epochs": 8}
    probed, _ = trained(small(**flat_rate, probe={"at": [4], "epochs": 4}), launch("probed"))
    rows, _ = trained(small(**falling), launch("falling"))
    found = [probed[3][f"probe_{name}"] for name in ("clean_acc", "robust_acc")]
    assert found == [rows[-1][f"val_{name}"] for name in ("clean_acc", "robust_acc")]
    assert found != [probed[7][f"val_{name}"] for name in ("clean_acc", "robust_acc")]
    spent = sum(row["fwd_passes"] + row["bwd_passes"] for row in rows[4:])
    validation = rows[-1]["eval_fwd_passes"] + rows[-1]["eval_bwd_passes"]
    assert probed[3]["probe_passes"] == spent + validation
    assert probed[3]["passes_cum"] == probed[2]["passes_cum"] + spent / 4 + spent + 2 * validation
    assert probed[3]["probe_seconds"] > 0
    for row in probed:
        assert (row["probe_passes"] is None) == (row["epoch"] != 4)


def test_a_probe_that_is_killed_is_trained_again(small, launch, timeless):
    config = small(probe={"at": [2], "epochs": 1})
    whole, killed = launch("whole"), launch("killed", die_at=2)
    run(config, whole)
    with pytest.raises(SystemExit):
        run(config, killed)
    again = launch("killed", reported=1)
    run(config, again)
    assert timeless(killed.rows + again.rows) == timeless(whole.rows)


def test_a_network_that_breaks_in_its_probe_tells_nothing_and_goes_on(small, launch, monkeypatch):
    monkeypatch.setattr("rayat.training.probe.all_finite", lambda model: False)
    rows, _ = trained(small(probe={"at": [1], "epochs": 1}), launch())
    assert rows[0]["probe_robust_acc"] is None and rows[0]["probe_passes"] > 0
    assert len(rows) == 4 and not any("outcome" in row for row in rows)


def test_what_a_probe_meets_is_in_the_key_of_its_epoch(small):
    """Equal until epoch 2, but the probe after epoch 1 would already meet the other attack."""
    fgsm = {"attack": {"name": "fgsm-rs", "eps": 0.2}, "lr.shape": "constant"}
    switches = [{"name": "switch", "at": at, "to": {"name": "pgd"}} for at in (0.5, 0.75)]
    data = describe(prepare(small().data))

    def common(probe):
        chains = [
            chain(small(**fgsm, probe=probe, attack_schedule=switch), data) for switch in switches
        ]
        return sum(a == b for a, b in zip(*chains, strict=True))

    assert common({}) == 2
    assert common({"at": [1], "epochs": 1}) == 2
    assert common({"at": [1], "epochs": 2}) == 0
    pruned = small(**{"lr.shape": "constant", "probe": {"at": [1], "epochs": 1}}).replace(
        {"pruning": {"name": "random", "fraction": 0.5, "every": 1, "warm_start": 0.5}}
    )
    other = pruned.replace({"pruning.fraction": 0.4})
    assert pruned.pruning.schedule(1, 4) == "full"
    assert chain(pruned, data)[0] != chain(other, data)[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"probe": {"at": [3], "epochs": 2}}, "probe.at must be rising epochs from 1 to 2"),
        ({"probe": {"at": [2, 1], "epochs": 1}}, "probe.at must be rising epochs from 1 to 3"),
        ({"probe": {"at": [0], "epochs": 1}}, "from 1 to 3"),
        ({"probe.at": [1], "weights.average": "ema"}, "a cool-down itself"),
    ],
)
def test_what_cannot_be_probed_is_refused(changes, says, small):
    with pytest.raises(ConfigError, match=says):
        small(**changes)


def test_a_plan_counts_probes(small):
    each = Estimate(
        train_seconds=2.0,
        eval_seconds=1.0,
        forward_passes=20,
        backward_passes=10,
        eval_forward_passes=3,
        eval_backward_passes=2,
    )
    alone, probed = small(), small(probe={"at": [1, 2], "epochs": 2})
    assert validations(probed) == validations(alone) + 2
    assert each.trial_seconds(probed) == each.trial_seconds(alone) + 4 * 2.0 + 2 * 1.0
    assert each.trial_passes(probed) == each.trial_passes(alone) + 4 * 30 + 2 * 5
