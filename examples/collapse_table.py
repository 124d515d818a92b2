"""Print a study over radii as Markdown: accuracies by radius, then who is sooner within each.

python examples/collapse_table.py results/collapse
"""

from __future__ import annotations

import sys

from rayat.compare.render import reached, speed
from rayat.compare.table import compare
from rayat.compare.text import split_arm
from rayat.ledger.reader import read_run


def main() -> None:
    """Print robust test accuracy, best / last checkpoint, then speed-ups in passes."""
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} RUN")
    comparison = compare(read_run(sys.argv[1]))
    rows = {}
    for row in comparison.rows:
        axes = split_arm(row.arm)
        rows[axes["arm"], float(axes["attack.eps"])] = row
    arms = list(dict.fromkeys(arm for arm, _ in rows))
    radii = sorted({eps for _, eps in rows})
    for what in ("best / last", "reached; speed-up"):
        print(f"| arm | {' | '.join(f'ε {eps:g} {what}' for eps in radii)} |")
        print(f"| --- |{' --- |' * len(radii)}")
        for arm in arms:
            cells = []
            for eps in radii:
                row = rows[arm, eps]
                best, last = row.robust["best"], row.robust["last"]
                if best is None or last is None:
                    raise SystemExit(f"{row.arm} has no test evaluation of finished trials")
                cells.append(
                    f"{best.mean:.3f} / {last.mean:.3f}"
                    if what == "best / last"
                    else f"{reached(row)}; {speed(row, 'passes')}"
                )
            print(f"| {arm} | {' | '.join(cells)} |")
        print()


if __name__ == "__main__":
    main()
