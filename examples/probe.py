"""What cool-down probes tell of a run's trials, and what a sweep that ranks by them would do.

    python examples/probe.py [--told] RUN [MORE ...]

RUN is of a study with `probe.at`, in which nothing was stopped. Printed are, for each probed epoch,
Spearman's rank correlation over the configurations with the robust accuracy at the end of the
training: of the probe, of the hot accuracy at the same epoch, and of the hot accuracy after as
many epochs as training and probe together have (equal cost); means over the seeds with a 95 %
interval by Student's t; once of all configurations and once of the half that ends best, among
which one has to choose. Then the recorded trials run again under stopping policies, each seed by
itself, in many random orders; a policy pays for the probes that it uses, and for no others (left
out with --told).
"""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
from scipy.stats import spearmanr, t

from rayat.ledger.reader import read_run
from rayat.policies.probe import PROBED
from rayat.registry import POLICIES
from rayat.replay.curves import METRIC, run_curves
from rayat.replay.simulate import simulate
from rayat.replay.sweeps import WORSE, draw

SWEEPS, WORKERS = 10, 2


def interval(values):
    """Return `0.61 [0.50, 0.72]`."""
    values = np.asarray(values, float)
    mean, count = values.mean(), len(values)
    if count < 2:
        return f"{mean:.2f}"
    wide = t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)
    return f"{mean:.2f} [{mean - wide:.2f}, {mean + wide:.2f}]"


def line(*cells):
    """Print a line of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(*cells):
    """Print the first two lines of one."""
    line(*cells)
    line(*["---"] * len(cells))


def by_seed(curves):
    """Return the curves of each seed."""
    seeds = sorted({curve.view.config["seed"] for curve in curves})
    return {s: [c for c in curves if c.view.config["seed"] == s] for s in seeds}


def best_half(curves):
    """Return the better half of a seed's trials by their end."""
    return sorted(curves, key=lambda curve: -curve.robust[-1])[: (len(curves) + 1) // 2]


def correlations(curves, chosen=list):
    """Print what is known of the end after each probed epoch; of each seed's `chosen` trials."""
    at, length = probes(curves)
    head("after epoch", "probe", "hot", f"hot {length} epochs later", "probe minus that")
    for epoch in at:
        found = []
        for group in map(chosen, by_seed(curves).values()):
            end = [c.robust[-1] for c in group]
            told = [
                [c.rows[epoch - 1][PROBED] for c in group],
                *([c.robust[e - 1] for c in group] for e in (epoch, epoch + length)),
            ]
            found.append([spearmanr(values, end).statistic for values in told])
        probe, hot, later = np.transpose(found)
        line(epoch, *map(interval, (probe, hot, later, probe - later)))
    print()


def probes(curves):
    """Return the probed epochs of a run's trials and the length of a probe."""
    probe = curves[0].view.config["probe"]
    return tuple(probe["at"]), probe["epochs"]


def with_probes(curves, spent, used):
    """Return curves as they were with probes after these epochs alone."""
    found = []
    for curve in curves:
        rows, seconds = list(curve.rows), curve.seconds.copy()
        for epoch in spent[curve.view.trial_id].keys() - set(used):
            rows[epoch - 1] = {k: v for k, v in rows[epoch - 1].items() if k != PROBED}
            seconds[epoch - 1] -= spent[curve.view.trial_id][epoch]
        found.append(replace(curve, rows=tuple(rows), seconds=seconds))
    return found


def reached(outcome, curves):
    """Return when the best checkpoint so far was within a point of the best; infinite: never."""
    named = {curve.view.trial_id: curve for curve in curves}
    bar = max(c.truth[c.best(len(c.rows))] for c in curves) - WORSE - 1e-9
    done, best, truth = dict.fromkeys(named, 0), -np.inf, -np.inf
    for time, name in outcome.reports:
        curve, epoch = named[name], done[name]
        done[name] += 1
        if curve.robust[epoch] > best:
            best, truth = curve.robust[epoch], curve.truth[epoch]
        if truth >= bar:
            return time
    return np.inf


def policies(at, length):
    """Return what is compared: (name, policy, epochs whose probes it uses)."""
    later = at[0] + length
    rows = [("none", "none", ()), ("median", "median", ()), ("accel", "accel", ())]
    for eta in (2, 3):
        rows += [
            (f"asha, eta {eta}, grace {grace}", {"name": "asha", "eta": eta, "grace": grace}, ())
            for grace in (at[0], later)
        ]
        rows += [
            (f"probe, eta {eta}, after {text(used)}", {"name": "probe", "eta": eta}, used)
            for used in dict.fromkeys([*((epoch,) for epoch in at), (at[0], at[-1]), at])
        ]
    rows += [("accel:asha", "accel:asha", ())]
    rows += [(f"accel:probe, after {text(u)}", "accel:probe", u) for u in ((at[-1],), at)]
    return rows


def text(epochs):
    """Return `4, 8`."""
    return ", ".join(map(str, epochs))


def sweeps(curves, spent):
    """Print what each policy does with the recorded trials."""

    @cache
    def whole(seed, number):
        return simulate(POLICIES.build("none"), order(seed, number, ()), WORKERS)

    @cache
    def order(seed, number, used):
        return draw(with_probes(groups[seed], spent, used), number)

    groups = by_seed(curves)
    head("policy", "compute", "time", "points lost", "more than 1 lost", "time to within 1 point")
    for name, spec, used in policies(*probes(curves)):
        rows = []
        for seed in groups:
            for number in range(SWEEPS):
                trials, full = order(seed, number, used), whole(seed, number)
                found = simulate(POLICIES.build(spec), trials, WORKERS)
                lost = full.final - found.final
                rows.append(
                    (
                        found.compute / full.compute,
                        found.makespan / full.makespan,
                        100 * lost,
                        lost > WORSE + 1e-9,
                        reached(found, trials) / full.makespan,
                    )
                )
        compute, time, lost, worse, soon = np.transpose(np.asarray(rows, float))
        line(
            name,
            f"{compute.mean():.2f}",
            f"{time.mean():.2f}",
            f"{lost.mean():+.2f}",
            f"{100 * worse.mean():.0f} %",
            f"{np.median(soon):.2f}, never {100 * np.isinf(soon).mean():.0f} %",
        )
    print()


def main(folders, replayed=True):
    """Print both tables of each run."""
    for folder in folders:
        run = read_run(folder)
        curves = run_curves(run)
        table = run.epochs[run.epochs[PROBED].notna()]
        spent = {
            trial_id: dict(zip(part["epoch"], part["probe_seconds"], strict=True))
            for trial_id, part in table.groupby("trial_id")
        }
        whole = {name for name, done in spent.items() if set(done) >= set(probes(curves)[0])}
        curves = [
            c
            for c in curves
            if c.view.trial_id in whole
            and np.isfinite(c.robust[-1])
            and len(c.rows) == c.view.epochs
        ]
        shown = {seed: len(group) for seed, group in by_seed(curves).items()}
        print(f"{folder}: configurations trained to their end, by seed: {shown} ({METRIC})\n")
        correlations(curves)
        print("of the half that ends best:\n")
        correlations(curves, best_half)
        if replayed:
            sweeps(curves, spent)


if __name__ == "__main__":
    main([each for each in sys.argv[1:] if each != "--told"], "--told" not in sys.argv)
