"""Papers reproduced by one command: smoke tiers over one Ray, and plans of the full ones."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

import rayat
from rayat.api.reproducing import paper_of, plan_reproduction
from rayat.claims.judge import WORDS
from rayat.claims.table import FILES, HEADER
from rayat.errors import ConfigError, PlacementError
from rayat.planning.refusal import refuse_what_fails

PAPERS = ("accelat", "dat", "dynamic", "pruning", "sdi")
NODE = {"cpus": 32, "gpus": 4}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_is_reproduced_and_judged(local_ray, tmp_path, name):
    """From the command's own study to a table of the form that a page shows."""
    out = tmp_path / name
    done = rayat.reproduce(name, "smoke", out=out)
    claims = paper_of(name).claims("smoke")
    assert done.run.statuses.keys() <= {"finished", "collapsed", "diverged"}
    assert len(done.run.evals) >= len(done.run.trials)
    rows = pq.read_table(out / FILES[0]).to_pylist()
    assert [row["claim"] for row in rows] == [claim.name for claim in claims]
    assert {row["verdict"] for row in rows} <= set(WORDS[:3]), "every control has run"
    assert all(row["control_passes"] is None or row["control_passes"] > 0 for row in rows)
    table = [line for line in (out / FILES[1]).read_text().splitlines() if line.startswith("|")]
    assert table[0] == "| " + " | ".join(HEADER) + " |"
    assert len(table) == 2 + len(claims)
    if name == "pruning":
        found = {row["claim"]: row for row in rows if row["claim"].startswith("formula")}
        assert len(found) == 4
        assert {row["verdict"] for row in found.values()} == {"held"}
    again = rayat.reproduce(name, "smoke", out=out)  # whole: nothing is trained, and judged anew
    assert again.run.summary.added == 0
    assert again.table.to_json() == done.table.to_json()


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_own_setting_is_planned_for_a_described_gpu_node(name):
    """Without its data and without a GPU: passes are counted, seconds are blank."""
    facts = plan_reproduction(name, "full", **NODE)
    study = paper_of(name).study("full")
    assert facts["feasible"] and facts["arms"] == len(study.arms)
    assert facts["cluster"] == {"cpus": 32, "gpus": 4, "nodes": 1}
    assert facts["passes"] > 1e8
    assert facts["wall_seconds"] is None and facts["memory_bytes"] is None
    assert "described" in facts["notes"][0]


def test_a_described_plan_counts_the_passes_of_pgd_exactly(monkeypatch):
    """PGD-10 on 45,000 images in batches of 128: eleven passes there and back."""
    sdi = paper_of("sdi")
    only = sdi.study("full").replace(only=("pgd-at",))
    monkeypatch.setattr("rayat.api.reproducing.study_on", lambda *given: only)
    (entry,) = plan_reproduction("sdi", "full", **NODE)["configurations"]
    images = 45_000 // 128 * 128
    assert entry["forward_passes_per_epoch"] == entry["backward_passes_per_epoch"] == 11 * images


def test_a_machine_without_gpus_is_refused_in_one_sentence():
    with pytest.raises(PlacementError, match="a worker needs 4 CPUs and 1 GPU"):
        plan_reproduction("sdi", "full", cpus=8, gpus=0)


def test_tiers_are_named():
    with pytest.raises(ConfigError, match="tier"):
        rayat.reproduce("sdi", "small")


@pytest.mark.slow
def test_every_stack_of_the_combined_study_can_train():
    """One step, one validation and one selection of each: what a run tries before it starts."""
    study = paper_of("combined").study("smoke")
    refuse_what_fails(study, study.replace(seeds=(0,)).trials())
