"""The winner of a search is lucky: what fresh seeds leave of it, and when nothing is claimed."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from rayat.compare.best import best
from rayat.compare.confirmed import as_found, chosen, configuration, level, recommended
from rayat.compare.ranking import ranked
from rayat.compare.table import compare
from rayat.compare.verdict import HEADLINE
from rayat.ledger.state import PASSES
from rayat.report.write import report

TARGET = 0.5


def curve(cost: float) -> list[float | None]:
    """Return a metric that passes the target at an epoch, and goes on."""
    epochs = max(1, round(cost))
    return [0.4] * (epochs - 1) + [0.55] * (30 - epochs)


def searched(builder, costs: dict[str, list[float]]):
    """Return a search's run: each arm's epochs to the target, by seed."""
    for arm, own in costs.items():
        builder.arm(arm, [curve(cost) for cost in own], test=(0.8, 0.5))
    return builder.build(target=TARGET, baseline="lr.shape=constant")


def confirmation(make_run, search, fresh: dict[str, list[float]], configurations: int):
    """Return the confirmation of a search on fresh seeds, as `rayat confirm` records it."""
    order = ranked(search, TARGET)
    base = next(found for found in order if found.arm == "lr.shape=constant")
    best = [found for found in order if found is not base][: len(fresh) - 1]
    named = {"baseline": base, **{f"found-{n}": found for n, found in enumerate(best, 1)}}
    builder = make_run()
    for name, own in fresh.items():
        builder.arm(f"arm={name}", [curve(cost) for cost in own], test=(0.8, 0.5))
    seeds = list(range(100, 100 + len(fresh["baseline"])))
    run = builder.build(target=TARGET, baseline="baseline", seeds=seeds)
    origin = {
        "configurations": configurations,
        "confirms": {f"arm={name}": as_found(found) for name, found in named.items()},
    }
    return dataclasses.replace(run, info={**run.info, "origin": origin})


def test_configurations_are_ranked_by_their_cost_to_the_target_then_by_value(builder):
    builder.arm("late", [curve(9), curve(11)])
    builder.arm("sooner", [curve(5), curve(7)])
    builder.arm("half", [curve(3), [0.4, 0.45]])
    builder.arm("never-good", [[0.49, 0.49], [0.47, 0.47]])
    builder.arm("never-bad", [[0.1, 0.2], [0.2, 0.1]])
    builder.trial("broken", 0, [0.6], status="failed")
    found = ranked(builder.build(target=TARGET, baseline="late"), TARGET)
    assert [each.arm for each in found] == ["sooner", "late", "half", "never-good", "never-bad"]
    assert found[0].cost == 6000 and found[0].reached == 2
    assert math.isnan(found[2].cost) and found[2].reached == 1
    by_value = ranked(builder.build(target=TARGET, baseline="late"), math.inf)
    assert by_value[0].value == max(each.value for each in by_value)


def test_a_real_winner_is_recommended_with_what_is_left_of_it(make_run):
    search = searched(make_run(), {"lr.shape=constant": [20], "a": [5], "b": [18], "c": [19]})
    fresh = {
        "baseline": [20, 21, 19, 20, 22],
        "found-1": [10, 11, 10, 9, 10],
        "found-2": [20, 19, 21, 20, 21],
    }
    found = compare(confirmation(make_run, search, fresh, 4))
    assert found.headline.startswith(
        "Train with this: a. It reaches 0.500 2.04 times sooner than lr.shape=constant ["
    )
    assert found.headline.endswith("] in passes, 5 fresh seeds.")
    assert chosen(found.rows).arm == "arm=found-1"
    line = next(line for line in found.confirmed if line.arm == "arm=found-1")
    assert line.found_speed == pytest.approx(4.0) and line.speed == pytest.approx(102 / 50)
    assert line.shrinkage == pytest.approx(0.51, abs=0.001)
    text = found.render()
    assert "51%" in text and "Found by the search, and on fresh seeds" in text
    assert "hold for all 2 comparisons together (Bonferroni: each at 97.5 %)" in " ".join(
        text.split()
    )
    assert "| found-1 | 4.00 | 2.04 | 51% |" in found.markdown()


def test_a_winner_by_luck_is_called_what_it_is(make_run):
    """Thirty equal arms: the best of them looked twice as fast, and is not."""
    random = np.random.default_rng(0)
    costs = {f"arm-{n}": [float(random.normal(15, 3))] for n in range(30)}
    search = searched(make_run(), {"lr.shape=constant": [15], **costs})
    best = ranked(search, TARGET)[0]
    assert 15_000 / best.cost > 1.5
    names = ("baseline", "found-1", "found-2", "found-3")
    fresh = {name: list(random.normal(15, 3, 5)) for name in names}
    run = confirmation(make_run, search, fresh, 31)
    found = compare(run)
    assert found.headline.startswith(
        "Nothing confirmed: none of the best 3 configurations of the 31 that were "
        "tried is shown to reach 0.500 sooner than the baseline lr.shape=constant"
    )
    assert chosen(found.rows) is None
    assert "Nothing confirmed" in report(run, found)
    assert level(run.info) == pytest.approx(1 - 0.05 / 3)


@pytest.mark.slow
def test_equal_arms_are_confirmed_in_at_most_one_of_twenty_studies(make_run, size):
    random, studies, wrong = np.random.default_rng(1), size(40, 400), 0
    search = searched(make_run(), {"lr.shape=constant": [15], "a": [9], "b": [10], "c": [11]})
    names = ("baseline", "found-1", "found-2", "found-3")
    for _ in range(studies):
        fresh = {name: list(random.normal(15, 3, 5)) for name in names}
        found = compare(confirmation(make_run, search, fresh, 4))
        wrong += chosen(found.rows) is not None
    assert found.level == pytest.approx(1 - 0.05 / 3)
    # Three times the standard error of a share of 5 %.
    assert wrong / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


@pytest.mark.slow
def test_an_arm_that_is_twice_as_fast_is_confirmed_with_its_factor(make_run, size):
    random, studies, logs, held = np.random.default_rng(2), size(20, 100), [], 0
    search = searched(make_run(), {"lr.shape=constant": [20], "a": [6], "b": [7], "c": [8]})
    for _ in range(studies):
        fresh = {
            "baseline": list(random.normal(20, 2, 5)),
            "found-1": list(random.normal(10, 1, 5)),
            **{f"found-{n}": list(random.normal(20, 2, 5)) for n in (2, 3)},
        }
        best = chosen(compare(confirmation(make_run, search, fresh, 4)).rows)
        assert best is not None and best.arm == "arm=found-1"
        speed = best.speed_up[HEADLINE]
        logs.append(math.log(speed.value))
        held += speed.low <= 2 <= speed.high
    error = np.std(logs, ddof=1) / math.sqrt(studies)
    assert np.mean(logs) == pytest.approx(math.log(2), abs=3 * error)
    assert held / studies >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / studies)


def test_the_best_alone_is_spoken_of_as_one(builder, make_run):
    costs = {"lr.shape=constant": [9, 9, 9], "lr.shape=lucky": [5, 9, 9]}
    search = searched(builder, costs)
    run = confirmation(make_run, search, {"baseline": [9, 8, 9], "found-1": [9, 9, 8]}, 2)
    assert compare(run).headline.startswith(
        "Nothing confirmed: the best configuration of the 2 that were tried is not shown to reach"
    )


def test_the_trials_of_a_control_stay_its_own_where_a_search_came_to_its_point(builder):
    builder.trial("arm=control", 0, [0.3, 0.5, 0.6], config="same")
    builder.trial("arm=searched", 0, [0.3], config="same", status="stopped")
    builder.trial("arm=searched", 0, [0.3, 0.55], config="other")
    run = builder.build(target=TARGET, baseline="arm=control", controls={"control": {}})
    base = next(found for found in ranked(run, TARGET) if found.config_id == "same")
    assert (base.arm, base.value, base.reached, base.cost) == ("arm=control", 0.6, 1, 2000)


def test_a_seed_that_diverged_is_the_configurations_own_doing(builder):
    builder.arm("lr.shape=constant", [curve(4)] * 3)
    builder.trial("hot", 0, [0.55])
    builder.trial("hot", 1, [0.2], status="diverged")
    builder.trial("late", 0, curve(2))
    builder.trial("late", 1, curve(3)[:4], status="diverged")
    found = {each.arm: each for each in ranked(builder.build(target=TARGET), TARGET)}
    assert list(found) == ["late", "lr.shape=constant", "hot"]
    assert (found["hot"].reached, len(found["hot"].trial_ids), found["hot"].value) == (1, 2, 0.55)
    assert (found["late"].reached, found["late"].cost) == (2, 2500)


def test_without_recorded_passes_configurations_rank_by_value_alone(builder):
    builder.arm("lr.shape=constant", [curve(2)])
    builder.arm("better", [[0.4, 0.6, 0.9]])
    run = builder.build(target=TARGET)
    run.trials[list(PASSES)] = run.trials[list(PASSES)].astype("float64") * math.nan
    run.epochs["passes_cum"] = math.nan
    found = best(run)
    assert found.rows[0].arm == "better"
    assert found.answer.endswith("passes were not recorded, so configurations rank by value alone.")


FRESH = {"baseline": [20, 21, 19, 20, 22], "found-1": [10, 11, 10, 9, 10]}


def whole(make_run):
    search = searched(make_run(), {"lr.shape=constant": [20], "a": [5]})
    return confirmation(make_run, search, FRESH, 2)


def test_the_file_is_named_only_for_the_arm_that_it_holds(make_run, tmp_path):
    run = dataclasses.replace(whole(make_run), folder=tmp_path)
    assert "train-with.json" not in compare(run).headline
    file = tmp_path / "train-with.json"
    file.write_text(configuration(run, "arm=found-1"))
    assert "a (train-with.json). It reaches" in compare(run).headline
    file.write_text(configuration(run, "arm=baseline"))
    assert "train-with.json" not in compare(run).headline


def test_at_a_target_chosen_afterwards_nothing_is_called_confirmed(make_run):
    headline = compare(whole(make_run), target=0.4).headline
    assert "Train with this" not in headline and "confirmed" not in headline


def test_a_confirmation_that_is_not_over_says_nothing(make_run):
    run = whole(make_run)
    run.trials.loc[3, "status"] = "running"
    assert compare(run).headline.startswith("Not over: 1 of 10 trials have no end yet")
    assert recommended(run, compare(run).rows) is None
    assert "Train with this" not in best(run).sure
    run = whole(make_run)
    run = dataclasses.replace(
        run, info={**run.info, "origin": {**run.info["origin"], "suite": "autoattack"}}
    )
    assert "10 of 10 trials are not in the final table by autoattack" in compare(run).headline
    assert recommended(run, compare(run).rows) is None


def test_fresh_seeds_are_those_of_the_pairs_and_what_failed_is_in_no_mean(make_run):
    run = whole(make_run)
    broken = run.trials.index[run.trials["arm"] == "arm=found-1"][:2]
    run.trials.loc[broken, ["status", "best_value"]] = ["failed", 0.3]
    run.epochs.loc[
        run.epochs["trial_id"].isin(run.trials.loc[broken, "trial_id"]), "val_robust_acc"
    ] = 0.3
    found = compare(run)
    assert found.headline.endswith("in passes, 3 fresh seeds.")
    line = next(line for line in found.confirmed if line.arm == "arm=found-1")
    assert line.value == pytest.approx(0.55)


def test_a_clock_that_points_the_other_way_is_said(make_run):
    run = whole(make_run)
    slow = run.trials.loc[run.trials["arm"] == "arm=found-1", "trial_id"]
    run.epochs.loc[run.epochs["trial_id"].isin(slow), "seconds_cum"] *= 4
    assert "in passes, 5 fresh seeds; in seconds not here: 0.51 [" in compare(run).headline
