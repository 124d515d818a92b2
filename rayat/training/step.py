"""One batch: the attack's images, the objective's pass, the update of the weights, the counts."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from rayat.attacks.base import Adversarial, Attack, Outcome
from rayat.attacks.view import attacked
from rayat.columns import refuse_undeclared
from rayat.pruning.weighted import weighted_mean
from rayat.training.awp import still_norms, uphill
from rayat.training.counters import Counters
from rayat.training.setup import Training


class Step:
    """What an attack's `step` works with (`attacks.base.Learner`), for all batches of an epoch.

    Attributes:
        weights: (this worker's weights of the batch (B,), the mean weight sum of the workers), set
            per batch where a pruner chose; None: all images count alike.
        given: the adversarial images of the batch, where they were made before the training.
        unlabelled: bool (B,), images of the batch without a label, set by `guess`; None: none.
        last: whether this is the epoch's last batch, whose gradient norm is kept.
        present, objective: the attack and the objective, as they are at this batch's moment.
        progress: share of all steps done when the present one ends.
        sums: per-sample quantities so far. exchanges: of gradients between the workers so far.
        grad_norm: L2 norm of the weights' gradient at the last batch's last update.
    """

    def __init__(self, training: Training, counters: Counters, noise: torch.Generator) -> None:
        self.training, self.counters, self.noise = training, counters, noise
        self.model: nn.Module = training.model
        self.weights: tuple[Tensor, Tensor] | None = None
        self.present: Attack = training.config.attack
        self.objective = training.config.objective
        self.given: Adversarial | None = None
        self.unlabelled: Tensor | None = None
        self.last, self.progress = False, 0.0
        self.sums, self.exchanges, self.grad_norm = Sums(), 0, 0.0
        self._autocast = torch.autocast(
            torch.device(training.exchange.device).type,
            torch.bfloat16,
            enabled=training.config.precision == "bf16",
        )

    def guess(self, x: Tensor, y: Tensor) -> Tensor:
        """Return labels to attack: the predicted class for images without one (`y` -1).

        The objective still sees -1. Costs one forward pass for each such image.
        """
        self.unlabelled = y < 0
        rows = self.unlabelled.nonzero().squeeze(1)
        with (
            self.training.clock.part("attack"),
            self._autocast,
            torch.no_grad(),
            attacked(self.model, fast=False) as frozen,
        ):
            predicted = frozen(x[rows]).argmax(1) if len(rows) else y[rows]
        self.counters.fwd_passes += len(rows)
        return y.index_copy(0, rows, predicted)

    def attack(self, attack: Attack, x: Tensor, y: Tensor) -> Adversarial:
        """Return the attack's images of the bare network, or those that are given."""
        if self.given is not None:
            return self.given
        with self.training.clock.part("attack"), self._autocast:
            return attack(self.model, x, y, self.noise)

    def learn(self, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Update the weights once; see `attacks.base.Learner.learn`.

        With adversarial weight perturbation the update's gradient is that of the perturbed weights,
        and the outcome, which is reported, is that of the weights themselves.
        """
        training, counters, weights = self.training, self.counters, self.training.config.weights
        if self.unlabelled is not None:
            y = y.masked_fill(self.unlabelled, -1)
        with training.clock.part("train"):
            if weights.awp and self.progress > weights.awp_start:
                still = dataclasses.replace(adv, x=adv.x.detach()) if adv.x.requires_grad else adv
                with still_norms(training.model):
                    outcome = self._backward(x, still, y)
                with uphill(training.model, weights.awp):
                    training.optimizer.zero_grad(set_to_none=True)
                    self._backward(x, adv, y)
            else:
                outcome = self._backward(x, adv, y)
            if self.last:
                grads = [p.grad for p in training.model.parameters() if p.grad is not None]
                self.grad_norm = float(torch.nn.utils.get_total_norm(grads))
            training.optimizer.step()
            training.optimizer.zero_grad(set_to_none=True)
            if training.average is not None:
                training.average.after_step(training.model, self.progress)
            refuse_undeclared(adv.info, "attack", self.present)
            refuse_undeclared(outcome.info, "objective", self.objective)
            self.sums.add(outcome, adv, y, self.unlabelled)
        counters.fwd_passes += adv.forward
        counters.bwd_passes += adv.backward
        counters.attack_steps += adv.backward if adv.steps is None else adv.steps
        return outcome

    def _backward(self, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Fill the weights' gradients and count what that cost."""
        with self._autocast:
            outcome = self.objective.loss(self.training.wrapped, x, adv, y)
        if self.weights is None:
            loss = outcome.loss.mean()
        else:
            loss = weighted_mean(outcome.loss, *self.weights)
        exchange, clock = self.training.exchange, self.training.clock
        if exchange.world_size > 1 and not clock.cuda:
            clock.waiting.backward(loss)
        else:
            torch.autograd.backward(loss)
        self.exchanges += 1
        self.counters.fwd_passes += outcome.forward
        self.counters.bwd_passes += outcome.backward
        return outcome


class Sums:
    """Per-sample quantities summed on the device, so that no step waits for it.

    Attributes:
        values: sum by column of the report: `train_loss`, `train_robust_acc` and
            `train_clean_acc` (rightly classified, of the labelled), and the info of attack and
            objective.
        counts: how many images each sum is over: an attack of a part of the epoch tells of those.
    """

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(
        self, outcome: Outcome, adv: Adversarial, y: Tensor, unlabelled: Tensor | None = None
    ) -> None:
        """Add one batch; `unlabelled` (B,) images are neither right nor wrong."""
        columns = {"train_loss": outcome.loss, **adv.info, **outcome.info}
        right: dict[str, Tensor] = {}
        if outcome.clean_logits is not None:
            right["train_clean_acc"] = outcome.clean_logits.argmax(1) == y
        if outcome.clean_logits is not outcome.adv_logits:  # there was something to be robust to
            right["train_robust_acc"] = outcome.adv_logits.argmax(1) == y
        for name, labelled in right.items():
            columns[name] = labelled if unlabelled is None else labelled[~unlabelled]
        for name, column in columns.items():
            total = column.detach().sum(dtype=torch.float64)
            self.values[name] = self.values[name] + total if name in self.values else total
            self.counts[name] = self.counts.get(name, 0) + len(column)
