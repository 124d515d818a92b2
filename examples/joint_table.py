"""The tables of docs/joint.md, from the runs of `joint.py` or from their ledgers in the repository.

python examples/joint_table.py results/joint
"""

import math
import sys
from pathlib import Path

import rayat
from rayat.compare.confirmed import lines
from rayat.compare.naming import told_apart
from rayat.compare.ranking import ranking
from rayat.compare.speedup import costs
from rayat.compare.table import compare
from rayat.compare.verdict import interval


def searched(run: rayat.Run) -> list[tuple[str, float, float]]:
    """Return the arm's trials in the order of their end: id, passes that the search had paid, cost.

    The cost is what the trial paid until the target, infinity where it never reached it.
    """
    ids = run.trials.loc[run.trials["arm"] == "arm=searched", "trial_id"]
    reports = run.epochs[run.epochs["trial_id"].isin(ids)].sort_values("reported_at")
    last: dict[str, float] = {}
    ended: dict[str, float] = {}
    for trial_id, paid in zip(reports["trial_id"], reports["passes_cum"], strict=True):
        last[trial_id] = float(paid)
        ended[trial_id] = sum(last.values())
    goal = run.info["study"]["target"]
    found = []
    for trial_id in ended:
        (cost,) = costs(run, [trial_id], goal)
        paid = cost.costs["passes"] if cost.reached else math.inf
        found.append((trial_id, ended[trial_id], paid))
    return sorted(found, key=lambda each: each[1])


def main(folder: Path) -> None:
    """Print what each search tried and found, when it was near the best, and what was confirmed."""
    names = sorted(p.name for p in folder.iterdir() if (folder / f"{p.name}-confirmed").is_dir())
    runs = {name: rayat.open(folder / name) for name in names}
    trials = {name: searched(run) for name, run in runs.items()}
    # Searches of one repetition train with one seed, so they have one best.
    best: dict[str, float] = {}
    for name, found in trials.items():
        turn = name.rpartition("-")[2]
        best[turn] = min([best.get(turn, math.inf), *(cost for _, _, cost in found)])
    print("| search | configurations | reached | best found | spent when near the best |")
    print("| --- | --- | --- | --- | --- |")
    for name, found in trials.items():
        there = [cost for _, _, cost in found if cost < math.inf]
        bar = 1.05 * best[name.rpartition("-")[2]]
        near = next((f"{spent / 1e6:.2f} M" for _, spent, cost in found if cost <= bar), "never")
        total = max(spent for _, spent, _ in found)
        print(
            f"| {name} | {len(found)} | {len(there)} | {min(there) / 1e3:.4g} k | "
            f"{near} of {total / 1e6:.2f} M |"
        )
    print(
        "\n| search | its winner | speed-up found | on fresh seeds | robust difference | verdict |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, run in runs.items():
        done = rayat.open(folder / f"{name}-confirmed")
        rows = compare(done).rows
        (line,) = [line for line in lines(done, rows) if line.arm != "arm=baseline"]
        (row,) = [row for row in rows if row.arm == line.arm]
        order = ranking(run).order
        winner = next(found for found in order if found.arm == "arm=searched")
        control = next(found for found in order if found.arm == "arm=pgd-10")
        speed, robust = row.speed_up["passes"], row.robust_difference
        print(
            f"| {name} | {told_apart(winner.config, control.config)} | {line.found_speed:.3g} | "
            f"{interval(speed)} | {interval(robust)} | {row.verdict} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
