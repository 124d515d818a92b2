"""Stopping policies on several tables of recorded curves, and `accel` tuned on all but each.

    python examples/policy_table.py results/curves/synthetic.parquet fresh MORE.parquet

A table is a file or run that `rayat replay` reads, or `fresh`: a newly generated sweep of 64
trials for each draw, by seeds from 1000 or, with `fresh:9000`, from there. Printed are, per policy
and table, compute as a share of training everything, points of robust accuracy lost or won by what
is delivered, the share of sweeps that end more than a point below, and the rank correlation; then
the same of `accel` with and without `keep_best`, and by its `chance`, and which chance the other
tables (`fresh` is never asked) would have chosen for each: the cheapest that loses at most 0.10
points, and more than a point in at most 5 % of the sweeps, on all of them.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from pasha import PASHA  # registers itself

from rayat.registry import POLICIES
from rayat.replay.curves import read_curves, table_curves
from rayat.replay.simulate import simulate
from rayat.replay.sweeps import WORSE, draw, spearman
from rayat.replay.synthetic import synthetic

POLICIES_SHOWN = [
    *("median", "asha", "first-look", "hyperband", PASHA.kind, "patience"),
    *("accel:none", "accel", "accel:asha", "accel:first-look"),
]
CHANCES = (0.0, 0.02, 0.05, 0.1, 0.2)  # 0: limits and median alone
SWEEPS, WORKERS, FRESH = 30, 8, 1000
LOST, OFTEN = -0.10, 0.05


def sweeps(table, count):
    """Return the sweeps of a table, each the trials in the order in which they start."""
    name, _, first = table.partition(":")
    if name != "fresh":
        curves = read_curves(table)
        return [draw(curves, number) for number in range(count)]
    found = []
    start = int(first or FRESH)
    for seed in range(start, start + count):
        curves = table_curves(synthetic(64, 40, seed), {}, table)
        found.append([curves[i] for i in np.random.default_rng(seed).permutation(len(curves))])
    return found


@lru_cache
def trained(table, count):
    """Return the sweeps of a table, each with what training everything delivers."""
    none = POLICIES.build("none")
    return [(curves, simulate(none, curves, WORKERS)) for curves in sweeps(table, count)]


def measured(table, count, spec):
    """Return compute, points gained, share of worse sweeps and rank correlation: means."""
    rows = []
    for curves, none in trained(table, count):
        found = simulate(POLICIES.build(spec), curves, WORKERS)
        gain = found.final - none.final
        ranks = spearman(found.delivered, none.delivered)
        rows.append((found.compute / none.compute, 100 * gain, gain < -WORSE - 1e-9, ranks))
    return tuple(float(np.mean(column)) for column in zip(*rows, strict=True))


def cell(found):
    """Return `0.37, -0.01, 0 %, 0.70`."""
    compute, gain, worse, ranks = found
    return f"{compute:.3f}, {gain:+.2f}, {100 * worse:.0f} %, {ranks:.2f}"


def line(*cells):
    """Print a line of a Markdown table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main(tables, policies=POLICIES_SHOWN, keeps=(False, True), chances=CHANCES, count=SWEEPS):
    """Print the three tables."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        shown = {p: [pool.submit(measured, t, count, p) for t in tables] for p in policies}

        def ways(key, values):
            return {
                value: [
                    pool.submit(measured, t, count, {"name": "accel", key: value}) for t in tables
                ]
                for value in values
            }

        kept, tried = ways("keep_best", keeps), ways("chance", chances)
        names = [Path(table).stem for table in tables]
        for title, rows in (
            ("policy", shown),
            ("`keep_best` of accel", kept),
            ("`chance` of accel", tried),
        ):
            line(title, *names)
            line("---", *["---"] * len(names))
            for label, cells in rows.items():
                line(str(label), *(cell(found.result()) for found in cells))
            print()
        found = {chance: [each.result() for each in cells] for chance, cells in tried.items()}
    for left, name in enumerate(names):
        sound = []
        for chance, cells in found.items():
            others = [
                each
                for at, (each, other) in enumerate(zip(cells, names, strict=True))
                if at != left and not other.startswith("fresh")
            ]
            if all(gain >= LOST and worse <= OFTEN for _, gain, worse, _ in others):
                sound.append((sum(compute for compute, *_ in others), chance))
        best = min(sound)[1] if sound else None
        says = "none is sound" if best is None else f"{best}, there {cell(found[best][left])}"
        print(f"chosen without {name}: {says}")


if __name__ == "__main__":
    main(sys.argv[1:])
