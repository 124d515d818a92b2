"""Print two suites of a run's test evaluations beside each other, for one seed, as Markdown.

python examples/suites_table.py results/methods pgd-50 autoattack 0
"""

from __future__ import annotations

import sys

import pandas as pd

from rayat.ledger.reader import read_run


def table(folder: str, suites: list[str], seed: int) -> pd.DataFrame:
    """Return robust test accuracies, one row an arm, best first; columns (suite, checkpoint)."""
    run = read_run(folder)
    rows = run.evals.merge(run.trials[["trial_id", "arm", "seed"]], on="trial_id")
    rows["arm"] = rows["arm"].str.removeprefix("arm=")
    rows = rows[(rows["seed"] == seed) & (rows["split"] == "test") & rows["suite"].isin(suites)]
    found = rows.pivot(index="arm", columns=["suite", "checkpoint"], values="robust_acc")
    return found.sort_values([(suites[1], "best"), (suites[0], "best")], ascending=False)


def main() -> None:
    """Print the table, then what the second suite takes off and whether it keeps the order."""
    if len(sys.argv) != 5:
        raise SystemExit(f"usage: {sys.argv[0]} RUN SUITE SUITE SEED")
    folder, one, two, seed = sys.argv[1:]
    found = table(folder, [one, two], int(seed))
    less = found[two, "best"] - found[one, "best"]
    columns = [found[one, "best"], found[two, "best"], found[two, "last"]]
    print(f"| arm | {one}, best | {two}, best | {two}, last | {two} less {one} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for arm in found.index:
        cells = ["" if pd.isna(column[arm]) else f"{column[arm]:.3f}" for column in columns]
        print(f"| {arm} | {' | '.join(cells)} | {less[arm]:+.3f} |")
    order = columns[0].corr(columns[1], method="spearman")
    print(f"\n{two} less {one}: {less.max():.3f} to {less.min():.3f}, mean {less.mean():.3f}")
    print(f"rank correlation {order:.2f}; last checkpoints of {columns[2].count()} of {len(less)}")


if __name__ == "__main__":
    main()
