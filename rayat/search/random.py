"""Random search, the default: Tune samples its own domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rayat.errors import StudyError
from rayat.registry import SEARCHERS
from rayat.search.base import Point, Searcher, Told


@SEARCHERS.register("random")
class Random(Searcher):
    """Every draw samples each domain once; every arm gets the same draws, grids are tried whole.

    Draw k is sampled with the seed `draw_seed + k`: more draws keep the earlier ones.

    Source: Bergstra and Bengio 2012; Ray Tune's variant generator.
    """

    def propose(
        self, space: Mapping[str, Any], draws: int, seed: int, told: Sequence[Told]
    ) -> list[Point]:
        """Return all points."""
        return [point for draw in range(draws) for point in variants(space, seed + draw)]


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
    state = np.random.RandomState(seed)
    try:
        return [_plain(spec) for _, spec in generate_variants(dict(space), random_state=state)]
    except Exception as error:
        raise StudyError(f"the space cannot be expanded: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value
