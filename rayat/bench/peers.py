"""The loops that people write today: what the engine is compared with, at its best.

They keep torch's defaults (fp32, one memory layout), as their users' scripts do, and train the same
network on the same images with the same optimiser. Settings of the process that make everything
faster, such as glibc's thresholds, are theirs too.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from rayat.bench.cases import Case
from rayat.data.base import Prepared, Source
from rayat.training.streams import derive

INSTALL = "torchattacks is not installed: pip install torchattacks"


class TorchvisionImages(Dataset[tuple[Tensor, int]]):
    """A data set in memory as torchvision's are: each sample becomes a PIL image, then a tensor."""

    def __init__(self, prepared: Prepared, source: Source) -> None:
        from torchvision import transforms

        self.x, self.y = prepared.train.x, prepared.train.y
        steps: list[Any] = []
        if source.augment != "none":
            steps.append(transforms.RandomCrop(self.x.shape[1:3], padding=source.padding))
        if source.augment == "crop-flip":
            steps.append(transforms.RandomHorizontalFlip())
        self.transform = transforms.Compose([*steps, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.x[index]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return self.transform(image), int(self.y[index])


class SlicedImages(Dataset[tuple[Tensor, int]]):
    """Padded floats in memory, cropped and flipped one sample at a time: robust_overfitting's way.

    It is faster than torchvision's transforms.
    """

    def __init__(self, prepared: Prepared, source: Source) -> None:
        x = torch.from_numpy(prepared.train.x).permute(0, 3, 1, 2).float() / 255
        self.size = x.shape[-1]
        self.padding = 0 if source.augment == "none" else source.padding
        self.flip = source.augment == "crop-flip"
        self.x = F.pad(x, [self.padding] * 4)
        self.y = prepared.train.y.tolist()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.x[index]
        if self.padding:
            dy, dx = torch.randint(2 * self.padding + 1, (2,)).tolist()
            image = image[:, dy : dy + self.size, dx : dx + self.size]
        if self.flip and torch.rand(()) < 0.5:
            image = image.flip(2)
        return image, self.y[index]


def torchvision_batches(case: Case) -> DataLoader[Any]:
    """Return the batches of a torchattacks user; whole batches only, as the engine's are."""
    dataset: Dataset[Any]
    if case.users == "arrays":
        x = torch.from_numpy(case.prepared.train.x).permute(0, 3, 1, 2).float() / 255
        dataset = TensorDataset(x.contiguous(), torch.from_numpy(case.prepared.train.y))
    else:
        dataset = TorchvisionImages(case.prepared, case.config.data)
    return DataLoader(dataset, case.config.batch_size, shuffle=True, drop_last=True)


def sliced_batches(case: Case) -> DataLoader[Any]:
    """Return the batches of a robust_overfitting user."""
    if case.users == "arrays":
        return torchvision_batches(case)
    dataset = SlicedImages(case.prepared, case.config.data)
    return DataLoader(dataset, case.config.batch_size, shuffle=True, drop_last=True)


class Peer:
    """One peer's training of a case; each call trains one epoch."""

    def __init__(self, case: Case, device: str = "cpu") -> None:
        self.case, self.device = case, device
        config, prepared = case.config, case.prepared
        self.model: nn.Module = config.model.build(
            prepared.shape,
            len(prepared.classes),
            derive(config.seed, "init"),
            prepared.mean,
            prepared.std,
        ).to(device)
        sgd = config.optimizer.model_dump()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=config.lr.peak,
            momentum=sgd["momentum"],
            nesterov=sgd["nesterov"],
            weight_decay=sgd["weight_decay"],
        )
        self.batches = self.load(case)

    @abstractmethod
    def load(self, case: Case) -> DataLoader[Any]:
        """Return the batches."""

    @abstractmethod
    def step(self, x: Tensor, y: Tensor) -> None:
        """Train on one batch, and note its loss and accuracy."""

    def __call__(self, before_step: Callable[[], object] = lambda: None) -> None:
        """Train one epoch; `before_step` may set the learning rate."""
        self.model.train()
        with defaults():
            for x, y in self.batches:
                before_step()
                self.step(x.to(self.device), y.to(self.device))


class Torchattacks(Peer):
    """The loop around torchattacks' own PGD or FFGSM, as its documentation shows it.

    Its attack puts the model into evaluation mode and takes the gradient of the images alone.

    Raises:
        ModuleNotFoundError: torchattacks is not installed.
    """

    def __init__(self, case: Case, device: str = "cpu") -> None:
        super().__init__(case, device)
        import torchattacks

        attack = case.config.attack
        if attack.kind == "fgsm-rs":
            self.attack = torchattacks.FFGSM(self.model, eps=attack.eps, alpha=1.25 * attack.eps)
        else:
            self.attack = torchattacks.PGD(
                self.model, eps=attack.eps, alpha=attack.eps / 4, steps=attack.model_dump()["steps"]
            )
        self.loss = self.right = 0.0

    def load(self, case: Case) -> DataLoader[Any]:
        """Return torchvision's batches."""
        return torchvision_batches(case)

    def step(self, x: Tensor, y: Tensor) -> None:
        """Attack, then train on the adversarial images."""
        adversarial = self.attack(x, y)
        self.optimizer.zero_grad()
        logits = self.model(adversarial)
        loss = F.cross_entropy(logits, y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.loss += loss.item() * len(y)
        self.right += (logits.argmax(1) == y).sum().item()


class RobustOverfitting(Peer):
    """The loop of locuslab/robust_overfitting's `train_cifar.py`, written from its description.

    The attack calls `loss.backward()`, which fills the weights' gradients too, with the network in
    training mode; after its last step one more pass looks for the worst restart; and the clean
    images pass once more for the log.
    """

    def __init__(self, case: Case, device: str = "cpu") -> None:
        super().__init__(case, device)
        self.steps = case.config.attack.model_dump()["steps"]
        self.losses = [0.0, 0.0]

    def load(self, case: Case) -> DataLoader[Any]:
        """Return batches cut from padded arrays."""
        return sliced_batches(case)

    def perturbation(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the worst perturbation of one restart, shaped like x."""
        eps = self.case.config.attack.eps
        worst, worst_loss = torch.zeros_like(x), torch.zeros(len(y), device=x.device)
        delta = torch.empty_like(x).uniform_(-eps, eps)
        delta = torch.clamp(delta, -x, 1 - x).requires_grad_(True)
        for _ in range(self.steps):
            loss = F.cross_entropy(self.model(x + delta), y)
            loss.backward()  # type: ignore[no-untyped-call]
            assert delta.grad is not None
            moved = torch.clamp(delta.detach() + eps / 4 * delta.grad.sign(), -eps, eps)
            delta.data = torch.clamp(moved, -x, 1 - x)
            delta.grad.zero_()
        losses = F.cross_entropy(self.model(x + delta), y, reduction="none").detach()
        found = losses >= worst_loss
        worst[found] = delta.detach()[found]
        return worst

    def step(self, x: Tensor, y: Tensor) -> None:
        """Attack, train on the adversarial images, and pass the clean ones for the log."""
        delta = self.perturbation(x, y)
        loss = F.cross_entropy(self.model(torch.clamp(x + delta, 0, 1)), y)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        clean = F.cross_entropy(self.model(x), y)
        self.losses[0] += loss.item() * len(y)
        self.losses[1] += clean.item() * len(y)


class Trades(Peer):
    """The loop of yaodongyu/TRADES, written from its description (docs/papers.md 7.1 and 1.3).

    The attack takes the gradient of the images alone, in evaluation mode, and passes the clean
    images again in every step; the update passes clean and adversarial images one after the other.

    Args:
        precision: of every pass; `bf16` by autocast, for a comparison of the loops alone.
    """

    def __init__(
        self, case: Case, device: str = "cpu", precision: Literal["fp32", "bf16"] = "fp32"
    ) -> None:
        super().__init__(case, device)
        attack = case.config.attack.model_dump()
        self.eps, self.steps, self.step_size = attack["eps"], attack["steps"], attack["step_size"]
        self.beta = case.config.objective.model_dump()["beta"]
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")
        self.divergence = nn.KLDivLoss(reduction="sum")
        self.loss = 0.0

    def load(self, case: Case) -> DataLoader[Any]:
        """Return torchvision's batches."""
        return torchvision_batches(case)

    def adversarial(self, x: Tensor) -> Tensor:
        """Return the images that maximise the divergence, with the network in evaluation mode."""
        self.model.eval()
        adv = x + 0.001 * torch.randn_like(x)
        for _ in range(self.steps):
            adv.requires_grad_()
            loss = self._divergence(self.model(adv), self.model(x))
            (gradient,) = torch.autograd.grad(loss, adv)
            adv = adv.detach() + self.step_size * gradient.sign()
            adv = torch.min(torch.max(adv, x - self.eps), x + self.eps).clamp(0, 1)
        self.model.train()
        return adv

    def step(self, x: Tensor, y: Tensor) -> None:
        """Attack, then train on both."""
        with self.autocast:
            adv = self.adversarial(x)
            self.optimizer.zero_grad()
            logits = self.model(x)
            natural = F.cross_entropy(logits, y)
            robust = self._divergence(self.model(adv), logits) / len(x)
            loss = natural + self.beta * robust
        loss.backward()
        self.optimizer.step()
        self.loss += loss.item() * len(y)

    def _divergence(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        loss: Tensor = self.divergence(adversarial.log_softmax(1), clean.softmax(1))
        return loss


@contextlib.contextmanager
def defaults() -> Iterator[None]:
    """Run the block with torch's default settings where a trial of ours has its own."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)


def has_torchattacks() -> bool:
    """Return whether torchattacks can be imported."""
    import importlib.util

    return importlib.util.find_spec("torchattacks") is not None
