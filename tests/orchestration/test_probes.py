"""A sweep that ranks by probes, through a real Ray: decisions, their replay, and shared probes."""

from __future__ import annotations

import pytest
from ray import tune

from rayat.api.sweep import run
from rayat.ledger.reader import read_run
from rayat.policies.probe import PROBED
from rayat.replay.curves import run_curves
from rayat.replay.verify import verify


@pytest.mark.slow
def test_a_sweep_that_ranks_by_probes_is_verified_and_shares_them(local_ray, tiny, tmp_path):
    shapes = [{"shape": s, "peak": p} for p in (0.1, 0.2, 0.001) for s in ("constant", "onedrop")]
    study = tiny(
        base={"epochs": 4, "probe": {"at": [2], "epochs": 1}},
        space={"lr": tune.grid_search(shapes)},
        seeds=(0,),
        policy={"name": "probe", "eta": 2},
        share=True,
        stop_collapsed=False,
        final_eval=False,
    )
    folder = tmp_path / "run"
    summary = run(study, folder)
    found = read_run(folder)
    probed = found.epochs[found.epochs[PROBED].notna()].set_index("trial_id")
    assert set(probed["epoch"]) == {2} and len(probed) == 6
    owners = probed["shared_from"].dropna()
    assert len(owners) == 3, "each peak's two shapes are one training until epoch 2"
    for trial_id, owner in owners.items():
        assert probed.loc[trial_id, PROBED] == probed.loc[owner, PROBED]
    stops = found.decisions[found.decisions["action"] == "stop"]
    assert set(stops["rule"]) == {"probe"} and set(stops["epoch"]) == {2}
    assert summary.statuses["stopped"] == len(stops) > 0
    # Whom it stopped had a probe below another's, whatever its hot accuracy.
    assert probed.loc[stops["trial_id"], PROBED].max() < probed[PROBED].max()
    assert verify(folder).difference is None
    told = {c.view.trial_id: c.rows[1].get(PROBED) for c in run_curves(found)}
    assert told == probed[PROBED].to_dict()
