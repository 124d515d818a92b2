"""Print what several workers brought, from a run's ledger, as Markdown.

python examples/scaling_table.py results/dat m1 m2 m2-q7-2side m4 m4-q7-2side
"""

from __future__ import annotations

import sys

import pandas as pd

from rayat.ledger.reader import read_run

PARTS = ["data_seconds", "attack_seconds", "train_seconds"]


def table(folder: str, arms: list[str]) -> pd.DataFrame:
    """Return one row an arm; medians over all epochs but each trial's first, which warms up.

    Columns: seconds an epoch of the mean worker, of the slowest one without its exchange (the
    critical path), the exchange's share, megabytes a worker sent in an epoch, and the speed-up
    over the first arm.
    """
    run = read_run(folder)
    epochs = run.epochs.merge(run.trials[["trial_id", "arm"]], on="trial_id")
    epochs["arm"] = epochs["arm"].str.removeprefix("arm=")
    epochs = epochs[epochs["epoch"] > 1]
    epochs["seconds"] = epochs[PARTS].sum(axis=1)
    epochs["share"] = epochs["seconds_exchange"].fillna(0) / epochs["seconds"]
    columns = ["seconds", "seconds_slowest", "share", "comm_bytes"]
    found = epochs.groupby("arm")[columns].median().loc[arms]
    found["comm_bytes"] /= 1e6
    found["speed_up"] = found["seconds"].iloc[0] / found["seconds"]
    return found


def main() -> None:
    """Print the table of the arms that the command line names."""
    if len(sys.argv) < 3:
        raise SystemExit(f"usage: {sys.argv[0]} RUN ARM [ARM ...]")
    print("| arm | measured epoch | slowest worker | exchange's share | MB an epoch | speed-up |")
    print("| --- | --- | --- | --- | --- | --- |")
    for arm, row in table(sys.argv[1], sys.argv[2:]).iterrows():
        slowest = "" if pd.isna(row.seconds_slowest) else f"{row.seconds_slowest:.2f} s"
        print(
            f"| `{arm}` | {row.seconds:.2f} s | {slowest} | {row.share:.0%} | "
            f"{row.comm_bytes:.2f} | {row.speed_up:.2f} |"
        )


if __name__ == "__main__":
    main()
