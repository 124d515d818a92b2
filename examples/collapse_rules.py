"""How many trials each version of the rule for catastrophic overfitting takes for collapsed.

    python examples/collapse_rules.py results/unstable

Of a run whose study says `stop_collapsed=False` the trials went on, so that the table says too how
many of them came back: to within 0.05 of the median of what their arm's trials ended with.
"""

import sys
from pathlib import Path

import rayat
from rayat.collapse import RULE, Watch

CLOSE = 0.05


def collapsed(rows, rule):
    """Return whether a trial's rows, in the order of their epochs, hold a collapse."""
    watch, found = Watch(rule), False
    for row in rows:
        found = found or watch.fall(row["epoch"], row) is not None
        watch.add(row["epoch"], row)
    return found


def main(folders):
    """Print a line for each run."""
    lines = []
    for folder in folders:
        run = rayat.open(folder)
        arms = run.trials.set_index("trial_id")["arm"]
        usual = run.trials.groupby("arm")["last_value"].median()
        last = run.trials.set_index("trial_id")["last_value"]
        line = [Path(folder).name, str(len(run.trials))]
        epochs = run.epochs.sort_values("epoch").astype(object)
        trials = epochs.where(epochs.notna(), None).groupby("trial_id")
        for rule in range(1, RULE + 1):
            ended = [name for name, rows in trials if collapsed(rows.to_dict("records"), rule)]
            back = sum(last[name] >= usual[arms[name]] - CLOSE for name in ended)
            ends = bool(run.info["study"].get("stop_collapsed", True))
            line += [str(len(ended)), "-" if ends else str(back)]
        lines.append(line)
    heads = ["run", "trials"]
    for rule in range(1, RULE + 1):
        heads += [f"collapsed by rule {rule}", "of these came back"]
    for line in (heads, ["---"] * len(heads), *lines):
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
