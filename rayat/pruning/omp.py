"""Non-negative orthogonal matching pursuit from inner products alone; docs/papers.md 5.3.

Minimise `|sum_i w_i g_i - t|^2 + ridge |w|^2` over at most k atoms and w > 0, greedily. Only inner
products are asked for, a column when its atom is chosen, and the normal equations are kept as a
Cholesky factor that grows by a row: a pick costs one product with the columns, no least squares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Columns = Callable[[Tensor], Tensor]
"""Maps atom numbers (M,) to their inner products with all N atoms, (N, M)."""


@dataclass(frozen=True)
class Match:
    """What was chosen, float64.

    Attributes:
        chosen: int64 (s,), in the order of choice. weights: (s,), positive.
        residuals: `|t - sum_i w_i g_i| / |t|` after each refit, from 1 at the empty set.
        objectives: `(|t - sum_i w_i g_i|^2 + ridge |w|^2) / |t|^2` likewise; never rises.
    """

    chosen: Tensor
    weights: Tensor
    residuals: tuple[float, ...]
    objectives: tuple[float, ...]


@dataclass(frozen=True)
class _Support:
    """The chosen atoms with `L L^T = K + ridge I`, `L y = c`, `L^T w = y`, c their target."""

    chosen: list[int]
    columns: Tensor
    factor: Tensor
    half: Tensor
    weights: Tensor

    @property
    def gain(self) -> float:
        """Return `|y|^2`, by which the objective is below that of the empty set."""
        return float(self.half @ self.half)


def match(
    columns: Columns,
    target: Tensor,
    energy: float,
    budget: int,
    ridge: float = 0.0,
    picks: int = 1,
    tolerance: float = 0.0,
) -> Match:
    """Choose up to `budget` atoms whose weighted sum comes near the target t.

    Each round adds the `picks` atoms with the largest positive inner product with the residual,
    refits all weights and drops the most negative until none is. It ends early when no atom is left
    that helps, or when a round that drops atoms would not lower the objective, which might go round
    for ever. The published solver also ends where the best atom is chosen already: with a ridge
    that is long before the others stop to help, so here only those that are not chosen compete.

    Args:
        columns: inner products of atoms; their precision decides what counts as dependent.
        target: `<g_i, t>`, (N,). energy: `<t, t>`.
        ridge: in the unit of `<g, g>`. picks: 1 is the published solver; more is faster.
        tolerance: stop when the residual's norm is below this share of the target's.
    """
    target = target.double().cpu()
    # The chosen atoms' columns grow in place: to copy them would cost as much as a pick.
    store = torch.empty(budget, len(target), dtype=torch.float64)
    found = _empty(store)
    residuals, objectives = [1.0], [1.0]
    width = picks
    while len(found.chosen) < budget and residuals[-1] > tolerance:
        score = target - found.columns.T @ found.weights
        score[found.chosen] = -torch.inf
        best = score.topk(min(width, budget - len(found.chosen), len(score)))
        grown = _grow(found, store, columns, target, best, ridge)
        while len(grown.chosen) and float(grown.weights.min()) <= 0:
            grown = _drop(grown, target, int(grown.weights.argmin()))
        if grown.gain <= found.gain:
            if width == 1:
                break
            width = 1  # the best alone may help where the crowd did not
            continue
        size = len(grown.chosen)
        if grown.columns.data_ptr() != store.data_ptr():  # atoms were dropped
            store[:size] = grown.columns
        found, width = dataclasses.replace(grown, columns=store[:size]), picks
        penalty = ridge * float(found.weights @ found.weights)
        objectives.append(max(0.0, energy - found.gain) / energy)
        residuals.append((max(0.0, energy - found.gain - penalty) / energy) ** 0.5)
    chosen = torch.tensor(found.chosen, dtype=torch.int64)
    return Match(chosen, found.weights, tuple(residuals), tuple(objectives))


def fill(
    found: Match, size: int, budget: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, int]:
    """Add random other atoms with weight 1 where the solver stopped before `budget`.

    Returns:
        Atom numbers and weights (budget,), and how many of them are random.
    """
    missing = budget - len(found.chosen)
    left = torch.ones(size, dtype=torch.bool)
    left[found.chosen] = False
    others = left.nonzero().flatten()
    extra = others[torch.randperm(len(others), generator=generator)[:missing]]
    weights = torch.cat([found.weights, torch.ones(missing, dtype=torch.float64)])
    return torch.cat([found.chosen, extra]), weights, missing


def _empty(store: Tensor) -> _Support:
    none = torch.zeros(0, dtype=torch.float64)
    return _Support([], store[:0], none.reshape(0, 0), none, none)


def _grow(
    old: _Support,
    store: Tensor,
    columns: Columns,
    target: Tensor,
    best: torch.return_types.topk,
    ridge: float,
) -> _Support:
    """Return the support with those of the `best` that help and do not depend on it, refitted.

    Their columns are written to `store` behind those of `old`, which it holds.
    """
    atoms, scores = best.indices.tolist(), best.values.tolist()
    raw = columns(torch.tensor(atoms)).cpu()
    noise = 100 * torch.finfo(raw.dtype).eps
    new = raw.double().T  # rows, so that the chosen atoms' inner products lie together
    size, largest = len(old.chosen), float(target.abs().max())
    factor = torch.zeros(size + len(atoms), size + len(atoms), dtype=torch.float64)
    factor[:size, :size] = old.factor
    chosen, kept = list(old.chosen), []
    for place, (atom, score) in enumerate(zip(atoms, scores, strict=True)):
        own = float(new[place, atom]) + ridge
        end = len(chosen)
        cross = _solve(factor[:end, :end], new[place, chosen])
        pivot = own - float(cross @ cross)
        if score <= noise * largest or pivot <= noise * own:
            continue
        factor[end, :end] = cross
        factor[end, end] = pivot**0.5
        chosen.append(atom)
        kept.append(place)
    end = len(chosen)
    store[size:end] = new[kept]
    return _refit(chosen, store[:end], factor[:end, :end], target)


def _drop(old: _Support, target: Tensor, place: int) -> _Support:
    """Return the support without its atom number `place`, refitted.

    Rows above it stay; below, `L33' L33'^T = L33 L33^T + l l^T` with l the column that goes.
    """
    keep = [i for i in range(len(old.chosen)) if i != place]
    factor = old.factor[keep][:, keep]
    tail = old.factor[place + 1 :, place + 1 :]
    gone = old.factor[place + 1 :, place]
    factor[place:, place:] = torch.linalg.cholesky(tail @ tail.T + torch.outer(gone, gone))
    return _refit([old.chosen[i] for i in keep], old.columns[keep], factor, target)


def _refit(chosen: list[int], columns: Tensor, factor: Tensor, target: Tensor) -> _Support:
    half = _solve(factor, target[chosen])
    weights = torch.linalg.solve_triangular(factor.T, half[:, None], upper=True)[:, 0]
    return _Support(chosen, columns, factor, half, weights)


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    solution: Tensor = torch.linalg.solve_triangular(factor, right[:, None], upper=False)
    return solution[:, 0]
