"""A comparison as text: two narrow tables and sentences for a terminal, one table for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rayat.compare.accuracy import MeanSd
from rayat.compare.comparison import ArmRow, Figures
from rayat.compare.confirmed import table
from rayat.compare.measured import shown
from rayat.compare.speedup import CUT
from rayat.compare.text import (
    NONE,
    cell,
    count,
    escaped,
    fraction,
    percent,
    printable,
    seconds,
    short_arms,
    wrapped,
)
from rayat.compare.verdict import interval, robust_interval


def plain(comparison: Figures) -> str:
    """Return the comparison for a terminal; 80 columns unless an arm's name is long."""
    heading, names = short_arms([row.arm for row in comparison.rows])
    rows = comparison.rows
    cost = [
        (
            _mark(names[row.arm], row),
            reached(row),
            mean(row.costs["epochs"], count),
            mean(row.costs["passes"], count),
            mean(row.costs["seconds"], seconds),
            speed(row, "passes"),
            speed(row, "seconds"),
        )
        for row in rows
    ]
    accuracies = comparison.asked or any(row.robust["best"] for row in rows)

    def figures(row: ArmRow) -> tuple[str, ...]:
        checkpoints = (*(row.robust[c] for c in ("best", "last")), row.clean["best"])
        return tuple(map(mean_sd, checkpoints))

    quality = [
        (
            _mark(names[row.arm], row),
            *(figures(row) if accuracies else ()),
            statuses(row),
        )
        for row in rows
    ]
    axes = ("reached", "epochs", "passes", "seconds", "in passes", "in seconds")
    checkpoints = ("robust best", "robust last", "clean best") if accuracies else ()
    parts = [
        wrapped(comparison.headline),
        "\n".join(wrapped(line) for line in setting_lines(comparison)),
        f"Cost to the target and speed-up (* the baseline{_legend(rows)})\n"
        + _columns([(heading, *axes), *cost]),
        (
            f"Accuracy ({printable(comparison.accuracy_source)}), mean ± sd\n"
            if accuracies
            else f"Trials (accuracy: {printable(comparison.accuracy_source)})\n"
        )
        + _columns([(heading, *checkpoints, "trials"), *quality]),
        "Found by the search, and on fresh seeds (value: best "
        f"{printable(comparison.metric)})\n" + _columns(table(comparison.confirmed))
        if comparison.confirmed
        else "",
        "\n".join(wrapped(row.sentence, "- ") for row in rows if row.sentence),
        "\n".join(wrapped(note, "! ") for note in comparison.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def table_cells(comparison: Figures) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the one table of a document, its header and its rows, as text."""
    heading, names = short_arms([row.arm for row in comparison.rows])
    header: tuple[str, ...] = (
        heading,
        "seeds",
        "robust best",
        "robust last",
        "clean best",
        "reached",
        "passes to target",
        "speed-up in passes",
        "in seconds",
        "robust difference",
        "verdict",
    )
    body: list[tuple[str, ...]] = [
        (
            names[row.arm],
            str(len(row.trial_ids)),
            mean_sd(row.robust["best"]),
            mean_sd(row.robust["last"]),
            mean_sd(row.clean["best"]),
            reached(row),
            mean(row.costs["passes"], count),
            speed(row, "passes"),
            speed(row, "seconds"),
            robust_interval(row.robust_difference),
            row.verdict,
        )
        for row in comparison.rows
    ]
    return header, body


def markdown(comparison: Figures) -> str:
    """Return one table of GitHub's Markdown, then the settings and notes as lines."""
    header, body = table_cells(comparison)
    lines = ["| " + " | ".join(cell(c) for c in line) + " |" for line in (header, *body)]
    lines.insert(1, "| --- |" + " ---: |" * (len(header) - 2) + " --- |")
    said = [row.sentence for row in comparison.rows if row.differs]
    said = [comparison.headline, *said] if comparison.apart or comparison.confirmed else said
    after = [*said, *setting_lines(comparison), *comparison.notes]
    if comparison.confirmed:
        head, *found = table(comparison.confirmed)
        rule = "| --- |" + " ---: |" * (len(head) - 3) + " --- | --- |"
        shown_ = ["| " + " | ".join(cell(c) for c in line) + " |" for line in found]
        lines += ["", "| " + " | ".join(head) + " |", rule, *shown_]
    return "\n".join([*lines, "", *(f"- {escaped(line)}" for line in after)])


def setting_lines(comparison: Figures) -> list[str]:
    """Return what was compared, in sentences without a full stop."""
    lines = [
        f"target: {printable(comparison.metric)} ≥ {fraction(comparison.target)} "
        f"({printable(comparison.target_origin)})",
        f"baseline: {printable(comparison.baseline)} ({printable(comparison.baseline_origin)})",
    ]
    lines += [
        f"target: {printable(comparison.metric)} ≥ {fraction(row.target)} for arms measured at "
        f"{where(comparison, row)}, baseline {printable(row.arm)}"
        for row in comparison.rows
        if row.is_baseline and row.arm != comparison.baseline
    ]
    return [
        *lines,
        f"accuracy: {printable(comparison.accuracy_source)}; speed-up: the baseline's cost over "
        f"the arm's, {percent(comparison.level)} {comparison.method}",
    ]


def where(comparison: Figures, row: ArmRow) -> str:
    """Return the settings by which a row's group differs from others: `eps 0.1`."""
    return ", ".join(f"{printable(k)} {shown(row.measured.get(k))}" for k in comparison.apart)


def mean(value: MeanSd | None, unit: Callable[[float], str]) -> str:
    """Return a mean through the formatter `unit`, `-` without one."""
    return NONE if value is None else unit(value.mean)


def mean_sd(value: MeanSd | None) -> str:
    """Return `0.512 ±0.010`; without sd for one seed."""
    if value is None:
        return NONE
    return fraction(value.mean) + (f" ±{fraction(value.sd)}" if value.sd is not None else "")


def speed(row: ArmRow, axis: str) -> str:
    """Return a speed-up with its interval; the baseline's is 1 by definition."""
    return "1" if row.is_baseline else interval(row.speed_up[axis])


def reached(row: ArmRow) -> str:
    """Return `2/3`, with what the policy stopped before the target said apart: `1/3 2 cut`."""
    if row.differs:
        return NONE
    cut = row.fates.get(CUT, 0)
    return f"{row.reached}/{len(row.trial_ids)}" + (f" {cut} cut" if cut else "")


def statuses(row: ArmRow) -> str:
    """Return the arm's trials by status, `3 finished` or `2 finished, 1 diverged`."""
    return ", ".join(f"{n} {printable(name)}" for name, n in row.statuses.items())


def _legend(rows: Iterable[ArmRow]) -> str:
    return f"; cut: {CUT}" if any(row.fates.get(CUT) for row in rows) else ""


def _mark(name: str, row: ArmRow) -> str:
    return f"{name} *" if row.is_baseline else name


def _columns(rows: Iterable[Sequence[str]]) -> str:
    lines = [list(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
