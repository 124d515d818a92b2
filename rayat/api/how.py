"""Where and how to run: the options of every verb that trains, and what they come to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_type_hints

from rayat.api.given import NotNegative, Positive, Seconds, refuse_wrong
from rayat.errors import ConfigError, PlacementError, nearest

if TYPE_CHECKING:
    from rayat.orchestration.cluster import Where
    from rayat.orchestration.execute import Options


class Ray(TypedDict, total=False):
    """Which Ray to use. Nothing given: a local one with all cores, on loopback only.

    Keys:
        address: of a cluster to join: `auto` or `host:port`.
        cpus, gpus: of the local Ray.
        allow_open_cluster: join a cluster that has no token authentication.
    """

    address: str | None
    cpus: Positive | None
    gpus: NotNegative | None
    allow_open_cluster: bool


class How(Ray, total=False):
    """How to run, as opposed to what: none of these changes a result.

    Keys:
        concurrency: most trials at the same time; default: what fits.
        fresh_processes: a new process for every trial in place of reused ones.
        max_failures: restarts of a trial after its process died; default: the study's.
        launcher: of trials with several workers: `ranks` or `trainer`.
        placement: of one trial's workers: `pack` on few nodes, `spread` on many.
        collective_timeout: seconds that workers wait for one of them.
        trial_timeout: seconds without a report after which a trial is started again.
        fail_fast: stop in order at the first trial that fails or is lost.
        time_budget: seconds after which the run stops in order, to be resumed.
    """

    concurrency: Positive | None
    fresh_processes: bool
    max_failures: NotNegative
    launcher: Literal["ranks", "trainer"]
    placement: Literal["pack", "spread"]
    collective_timeout: Seconds
    trial_timeout: Seconds | None
    fail_fast: bool
    time_budget: Seconds | None


def known(given: Mapping[str, Any], kind: type) -> None:
    """Refuse options that there are not, with the nearest name, and values that cannot be.

    Args:
        kind: `How` or `Ray`, whose keys are the options.

    Raises:
        ConfigError: in one sentence.
    """
    names = list(kind.__annotations__)
    for name in given:
        if name not in names:
            raise ConfigError(
                f"there is no option {name!r}{nearest(name, names)}; options: {', '.join(names)}"
            )
    refuse_wrong(given, get_type_hints(kind, include_extras=True), "how to run")


def where(ray: Ray | How) -> Where:
    """Return which Ray to use.

    Raises:
        PlacementError: a size of the local Ray together with the address of another.
    """
    from rayat.orchestration.cluster import Where

    address, cpus, gpus = ray.get("address"), ray.get("cpus"), ray.get("gpus")
    if address is not None and (cpus is not None or gpus is not None):
        raise PlacementError(
            "cpus and gpus size a local Ray; a cluster joined by its address has its own size: "
            "leave them out"
        )
    return Where(address, cpus, gpus, ray.get("allow_open_cluster", False))


def options_of(how: How, max_failures: int) -> Options:
    """Return how to run; `max_failures` where it is not told."""
    from rayat.orchestration.execute import Options
    from rayat.runs.driver import Halts

    return Options(
        at_once=how.get("concurrency"),
        fresh_processes=how.get("fresh_processes", False),
        max_failures=how.get("max_failures", max_failures),
        launcher=how.get("launcher", "ranks"),
        placement=how.get("placement", "pack"),
        collective_timeout=how.get("collective_timeout", 120.0),
        trial_timeout=how.get("trial_timeout"),
        halts=Halts(how.get("fail_fast", False), how.get("time_budget")),
    )


def command_line() -> list[str]:
    """Return how this process was started, for `run.json`."""
    return ["rayat", *sys.argv[1:]]
