"""Options that several verbs share, each in one place, so that they mean the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def _shipped(incomplete: str) -> list[str]:
    """Return the shipped studies that a word may become; files are the shell's own affair."""
    from rayat.api.studies import shipped

    return [name for name in shipped() if name.startswith(incomplete)] if incomplete else []


Study = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study's file, or a shipped study's name.",
        autocompletion=_shipped,
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Baseline = Annotated[
    str | None,
    typer.Option("--baseline", metavar="ARM", help="Arm to compare with; default: the study's."),
]
Target = Annotated[
    float | None,
    typer.Option(
        "--target", metavar="X", help="Value of the metric to reach; default: the study's."
    ),
]
Report = Annotated[
    bool, typer.Option("--report", help="At the end print the verdict and write the HTML report.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Change the configuration: a dotted key and a value (JSON, else text).",
    ),
]
Arms = Annotated[
    list[str] | None,
    typer.Option(
        "--arm",
        metavar="ARM",
        show_default=False,
        help="Only this arm: its label, a name of `arms`, or key=value; repeatable.",
    ),
]
Policy = Annotated[
    str | None,
    typer.Option("--policy", metavar="NAME", help="Stopping policy to use instead of the study's."),
]
Seeds = Annotated[
    str | None, typer.Option("--seeds", metavar="N,N", help="Seeds to use instead of the study's.")
]
UntilDecided = Annotated[
    bool,
    typer.Option("--until-decided", help="Add seeds to arms whose verdict is open, one at a time."),
]
MaxSeeds = Annotated[
    int | None,
    typer.Option(
        "--max-seeds",
        metavar="N",
        min=1,
        show_default=False,
        help="Most seeds of an arm with --until-decided; default: 10.",
    ),
]
OrderSeed = Annotated[
    int | None,
    typer.Option(
        "--order-seed", metavar="N", min=0, help="Shuffle the order of the trials with this seed."
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="ADDRESS", help="Join this Ray cluster: auto or host:port."),
]
Cpus = Annotated[
    int | None,
    typer.Option("--cpus", metavar="N", min=1, help="CPUs of the local Ray; default: all cores."),
]
Gpus = Annotated[
    int | None,
    typer.Option("--gpus", metavar="N", min=0, help="GPUs of the local Ray; default: all."),
]
AllowOpen = Annotated[
    bool,
    typer.Option("--allow-open-cluster", help="Join a cluster that has no token authentication."),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency", metavar="N", min=1, help="Most trials at once; default: as many as fit."
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh-processes", help="Start a new process for every trial.")
]
Launcher = Annotated[
    Literal["ranks", "trainer"],
    typer.Option(
        "--launcher",
        help="For trials with several workers: plain actors, or a TorchTrainer for each.",
    ),
]
Placement = Annotated[
    Literal["pack", "spread"],
    typer.Option("--placement", help="Put the workers of one trial on few nodes, or on many."),
]
CollectiveTimeout = Annotated[
    float,
    typer.Option(
        "--collective-timeout",
        metavar="SECONDS",
        min=1,
        help="How long workers wait for one that does not answer; then the trial is restarted.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        show_default=False,
        help="The run's folder; default: runs/<study>/<UTC time>.",
    ),
]
TrialTimeout = Annotated[
    float | None,
    typer.Option(
        "--trial-timeout",
        metavar="S",
        min=1,
        show_default=False,
        help="Restart a trial that reports nothing for S seconds (and 10 epochs); default: never.",
    ),
]
Follow = Annotated[
    list[str] | None,
    typer.Option(
        "--follow",
        metavar="NAME",
        show_default=False,
        help="Show the run there too: tensorboard, mlflow, wandb; repeatable.",
    ),
]
NoShare = Annotated[
    bool,
    typer.Option("--no-share", help="Train also those epochs again that trials have in common."),
]
FailFast = Annotated[
    bool,
    typer.Option(
        "--fail-fast", help="End the run when a trial fails; exit code 4, `resume` continues it."
    ),
]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        "--time-budget",
        metavar="TIME",
        show_default=False,
        help="End the run after this time: 90s, 30m, 1.5h, 2d; `resume` continues it.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Data-parallel workers of the trial."),
]


def how(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a verb's options that say where and how to run (`api.how.How`).

    Args:
        given: the verb's `locals()` at its beginning: its options by name.

    Raises:
        ConfigError: a time budget that is no time.
    """
    from rayat.api.how import How

    found = {name: given[name] for name in How.__annotations__ if name in given}
    if "time_budget" in found:
        found["time_budget"] = seconds(found["time_budget"])
    return found


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str | None) -> float | None:
    """Return a time such as `30m` in seconds, None for None.

    Raises:
        ConfigError: no positive number with one of the units s, m, h, d.
    """
    from rayat.errors import ConfigError

    if text is None:
        return None
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([smhd])\s*", text)
    value = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not value:
        raise ConfigError(
            f"--time-budget takes a time with its unit, such as 90s, 30m, 1.5h or 2d, got {text!r}"
        )
    return value
