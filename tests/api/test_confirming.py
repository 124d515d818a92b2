"""The best of a real search again on fresh seeds: linked to it, interrupted, gone on with."""

from __future__ import annotations

import json
import os

import pytest
from ray import tune

import rayat
from rayat.config import TrialConfig
from rayat.errors import ConfigError, LedgerError
from rayat.runs.driver import Observer


class AtFirst(Observer):
    """Sends one SIGINT at the first report, as Ctrl-C does."""

    def __init__(self) -> None:
        self.left = 1

    def changed(self, trial_id: str, what: str) -> None:
        if what == "report" and self.left:
            self.left = 0
            os.kill(os.getpid(), 2)


@pytest.mark.slow
def test_a_search_is_confirmed_on_fresh_seeds_also_after_an_interrupt(local_ray, tiny, tmp_path):
    study = tiny(
        base={"epochs": 2},
        space={
            "lr.shape": tune.grid_search(["constant", "cosine"]),
            "lr.peak": tune.grid_search([0.1, 0.05]),
        },
        nuisance=("lr.peak",),
        seeds=(3,),
        target=0.05,
        baseline="lr.shape=constant",
    )
    search = rayat.run(study, tmp_path / "search", concurrency=1)
    ask = {"top": 2, "seeds": 2, "attack": "fgsm", "images": 16, "concurrency": 1}
    cut = rayat.confirm(search.folder, tmp_path / "again", observer=AtFirst(), **ask)
    assert cut.summary.interrupted
    done = rayat.confirm(search.folder, tmp_path / "again", **ask)
    assert done.statuses == {"finished": 6}
    assert sorted(set(done.trials["seed"])) == [4, 5], "seeds that the search never saw"
    assert set(done.trials["arm"]) == {"arm=baseline", "arm=found-1", "arm=found-2"}
    origin = done.info["origin"]
    assert origin["run"] == "../search" and origin["configurations"] == 4
    was = origin["confirms"]["arm=found-1"]
    configs = search.trials.set_index("config_id")["config_json"]
    ours, theirs = (
        json.loads(configs[was["config_id"]]),
        done.config(
            done.trials.loc[done.trials["arm"] == "arm=found-1", "trial_id"].iloc[0]
        ).tree(),
    )
    assert {**ours, "seed": 0} == {**theirs, "seed": 0}
    assert was["value"] == search.trials.set_index("config_id").loc[was["config_id"], "best_value"]
    table = done.evals[done.evals["suite"] == "fgsm"]
    assert len(table) == 6 and set(table["checkpoint"]) == {"best"} and set(table["n"]) == {16}
    shown = done.compare()
    assert shown.accuracy_source == "test, fgsm"
    assert shown.headline.startswith(
        "Nothing confirmed: none of the best 2 configurations of the 4 that were tried is"
    )
    assert shown.confirmed[0].was.startswith("lr.shape=constant")
    assert not (tmp_path / "again" / "train-with.json").exists()
    (tmp_path / "kept").mkdir()
    for name in ("search", "again"):  # moved together they still belong together
        (tmp_path / name).rename(tmp_path / "kept" / name)
    found = tmp_path / "kept" / "search"
    again = rayat.confirm(found, tmp_path / "kept" / "again", **ask)
    same = ["trial_id", "attempts", "started_at", "ended_at"]
    assert again.trials[same].equals(done.trials[same]), "nothing is trained twice"
    assert again.evals.equals(done.evals), "nothing is measured twice"
    for change, what in (
        ({"top": 1}, "configurations"),
        ({"seeds": 3}, "seeds differ: .4, 5. then"),
    ):
        with pytest.raises(LedgerError, match=f"otherwise than asked, as the {what}"):
            rayat.confirm(found, tmp_path / "kept" / "again", **{**ask, **change})
    with pytest.raises(LedgerError, match="is the run that is to be confirmed"):
        rayat.confirm(found, found, **ask)
    with pytest.raises(ConfigError, match="top should be greater than or equal to 1, got 0"):
        rayat.confirm(found, tmp_path / "none", **{**ask, "top": 0})
    assert not (tmp_path / "none").exists()


def test_a_configuration_file_is_one_that_train_takes(tmp_path):
    from rayat.cli.running import _read

    config = TrialConfig.parse({"epochs": 3, "lr.peak": 0.05})
    (tmp_path / "c.json").write_text(json.dumps(config.tree()))
    assert TrialConfig.parse(_read(tmp_path / "c.json")) == config
