"""`rayat evaluate --model`: suites on a network that rayat did not train."""

from __future__ import annotations

from pathlib import Path

from rayat.data.base import Source
from rayat.data.prepare import prepare
from rayat.errors import ConfigError
from rayat.evaluation.evaluator import Row, Tell, batches, one_line, raised
from rayat.evaluation.foreign import Guarded, check_network, guest, load_network
from rayat.evaluation.masking import at_chance, flagged
from rayat.evaluation.measure import MeasureSettings, measure
from rayat.evaluation.request import Request
from rayat.ledger.files import located


def evaluate_network(
    factory: str,
    weights: str | Path | None,
    source: Source,
    request: Request,
    seed: int = 0,
    journal: str | Path | None = None,
    tell: Tell = lambda line: None,
    fail: Tell = raised,
    weights_key: str | None = None,
) -> list[Row]:
    """Evaluate a network that rayat did not train (`evaluation.foreign`).

    Args:
        source: of the images. request: with a radius. seed: of the random starts.
        journal: folder of the finished batches; None: an interruption costs everything.
        fail: told in one line of each suite that failed; the rows of the others are returned.
        weights_key: of the weights in their file (`evaluation.weights_file`).

    Raises:
        ConfigError, DataError: the network, its weights or the data do not do.
    """
    weights = None if weights is None else located(weights)
    journal = None if journal is None else located(journal)
    if not request.eps:
        raise ConfigError("a network that rayat did not train has no radius: give --eps")
    questions = request.questions(request.eps[0], "linf")
    with guest():
        net = load_network(factory, weights, request.device, weights_key, tell)
        prepared = prepare(source)
        for note in prepared.notes:
            tell(f"warning: {note}")
        for suite, eps in questions:
            suite.sized(eps)
            suite.fits(prepared.shape, len(prepared.classes))
        model = Guarded(net, len(prepared.classes))
        gradients = any(suite.kind != "square" for suite, _ in questions)
        looked = check_network(model, prepared, request.device, request.split, gradients)
        rows: list[Row] = []
        for suite, eps in questions:
            line = f"{factory} {suite.title} at {eps:g}"
            question = MeasureSettings(
                suite,
                eps,
                size=request.size,
                seed=seed,
                split=request.split,
                device=request.device,
                journal=journal,
                tell=batches(tell, line),
            )
            name = weights.name if weights else "-"
            row = {"trial_id": factory, "checkpoint": name, "epoch": None}
            try:
                measured_row = {**row, **measure(model, prepared, question)}
                rows.append(at_chance(measured_row, len(prepared.classes)))
            except Exception as error:
                fail(f"{line} failed: {one_line(error)}")
    if rows:
        rows[0]["fwd_passes"] += looked  # the checks' passes; the first row's are theirs too
    return flagged(rows)
