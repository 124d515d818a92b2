"""Random search, the default: Tune samples its own domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rayat.errors import StudyError
from rayat.registry import SEARCHERS
from rayat.search.base import Fit, Point, Searcher, Told, whole
from rayat.search.domains import Domain, is_function


@SEARCHERS.register("random")
class Random(Searcher):
    """Every draw samples each domain once; every arm gets the same draws, grids are tried whole.

    Draw k is sampled with the k-th seed of the study's `draw_seed` (`first_seed`), and one that
    repeats an earlier one is passed over: more draws keep the earlier ones. Studies with other
    draw seeds draw independently. A space with fewer points than draws is refused.

    Source: Bergstra and Bengio 2012; Ray Tune's variant generator.
    """

    def propose(
        self,
        space: Mapping[str, Any],
        draws: int,
        seed: int,
        told: Sequence[Told],
        fit: Fit = whole,
    ) -> list[Point]:
        """Return all points."""
        points = distinct(space, draws, seed, fit)
        if space and len(points) < draws * len(variants(space, seed)):
            raise StudyError(
                f"draws={draws} are more than the space has different points "
                f"({', '.join(space)}): set draws={len(points) // len(variants(space, seed))}, or "
                "search='grid' with draws=1 for every point once"
            )
        return points


def first_seed(draw_seed: int) -> int:
    """Return the seed of a study's first draw; draw k has this number + k.

    Draw seeds that follow each other, as repetitions of a search mostly have, are spread far apart:
    else they would share all but the first of their draws. 0 stays what it is.
    """
    if draw_seed == 0:
        return 0
    import numpy as np

    spread = np.random.SeedSequence(draw_seed).generate_state(1)[0]
    return int(spread) >> 1  # numpy's seeds end at 2**32: there is room for draws


TRIES = 50
"""Samples of the space in a row without a new point, before it counts as exhausted."""
MOST = 5_000
"""The same, however many are asked for."""


def distinct(space: Mapping[str, Any], draws: int, seed: int, fit: Fit = whole) -> list[Point]:
    """Return `draws` different samples at every grid point, or as many as the space has.

    Args:
        fit: the form of a sample, None where it is left out.

    Raises:
        StudyError: Tune cannot expand the space.
    """
    columns: list[list[Point]] = [[] for _ in variants(space, seed)]
    number, idle = 0, 0
    while any(len(column) < draws for column in columns) and idle < min(TRIES * draws, MOST):
        idle += 1
        for column, drawn in zip(columns, variants(space, seed + number), strict=True):
            point = fit(drawn) if len(column) < draws else None
            if point is not None and point not in column:
                column.append(point)
                idle = 0
        number += 1
    if fit is not whole:  # a point of a grid may be excluded, whatever is drawn beside it
        columns = [column for column in columns if column]
    fewest = min(map(len, columns), default=0)
    return [column[draw] for draw in range(fewest) for column in columns]


def variants(space: Mapping[str, Any], seed: int) -> list[Point]:
    """Return every grid point of `space`, its other domains sampled once each with `seed`.

    Raises:
        StudyError: Tune cannot expand it.
    """
    if not space:
        return [{}]
    # Imported here: reading a finished run must not load Ray.
    import numpy as np
    from ray.tune.search.variant_generator import generate_variants

    # Dotted keys stay plain keys: Tune splits paths on its own nesting only.
    def once() -> list[Point]:
        state = np.random.RandomState(seed)
        return [_plain(spec) for _, spec in generate_variants(dict(space), random_state=state)]

    try:
        points = once()
        again = once() if any(map(is_function, space.values())) else points
    except Exception as error:
        cause = error.__context__ or error
        why = f"{type(cause).__name__}: {cause}".split("\n")[0]
        raise StudyError(
            f"the space cannot be expanded: {why} (sample_from may read the scientific axes, the "
            "constants of the space and earlier draws)"
        ) from error
    if points != again:
        raise StudyError(
            "sample_from gives other values each time it is asked, so a run could not be repeated: "
            "let it follow from the other values alone, or use one of Tune's own domains"
        )
    return points


def as_tune(form: Domain) -> Any:
    """Return the domain of Tune that a stored form means: it draws the same values."""
    from ray import tune

    if form["kind"] == "choice":
        return tune.choice(form["values"])
    low, high, step = form["low"], form["high"], form["step"]
    if form["kind"] == "float":
        if step is None:
            return (tune.loguniform if form["log"] else tune.uniform)(low, high)
        return (tune.qloguniform if form["log"] else tune.quniform)(low, high, step)
    if step in (None, 1):
        return (tune.lograndint if form["log"] else tune.randint)(low, high + 1)
    return (tune.qlograndint if form["log"] else tune.qrandint)(low, high, step)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value
