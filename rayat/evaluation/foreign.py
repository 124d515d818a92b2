"""A network that rayat did not train: from a factory and a weights file, checked before use."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rayat.attacks.view import attacked
from rayat.data.base import Prepared
from rayat.errors import ConfigError, RayatError
from rayat.evaluation.answers import depends_on_nothing_else, has_gradients, looks
from rayat.evaluation.weights_file import load_weights
from rayat.suites.base import finite
from rayat.training.validate import Split


@contextlib.contextmanager
def guest() -> Iterator[None]:
    """Run a user's code as a guest: it prints to standard error and sees no arguments of rayat's.

    What it prints must not stand between the rows, and a script's parser must not read our options.
    """
    arguments = sys.argv
    sys.argv = arguments[:1]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.argv = arguments


def load_network(
    factory: str,
    weights: Path | None,
    device: str = "cpu",
    key: str | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> nn.Module:
    """Return the network that a factory makes, with the weights of a file.

    Args:
        factory: `package.module:name`, called without arguments; it must normalise its input
            itself. weights: `.safetensors`, or a state dict that torch loads with
            `weights_only=True`, also inside a mapping (`load_weights`); None: as the factory gives.
        key: of the weights in the file. tell: told in one line what was taken from it.

    Raises:
        ConfigError: nothing to import there, no network, or weights that do not fit.
    """
    make = _imported(factory)
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise ConfigError(
            f"--model {factory!r} cannot be called without arguments ({error}); write a factory "
            "that needs none and returns the network"
        ) from None
    except ValueError:
        pass  # a callable of C has no signature to ask
    try:
        model = make()
    except RayatError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"--model {factory!r} failed when called: {said(error)}") from None
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"--model {factory!r} gave a {type(model).__name__}; "
            "a factory takes no argument and returns a torch.nn.Module"
        )
    if weights is not None:
        load_weights(model, weights, key, tell, factory)
    try:
        return model.to(device)
    except Exception as error:
        raise ConfigError(f"--model {factory!r} does not go to {device}: {said(error)}") from None


def _imported(factory: str) -> Any:
    module, _, name = factory.partition(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"--model {factory!r} cannot be imported ({_line(error)}); give "
            "package.module:factory, found from the present folder or installed"
        ) from None
    except SyntaxError as error:
        raise ConfigError(
            f"--model {factory!r} cannot be imported: line {error.lineno} of "
            f"{Path(error.filename or module).name} is no Python ({error.msg})"
        ) from None
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"--model {factory!r} cannot be imported: its module raised {said(error)}; what a "
            "script does belongs under `if __name__ == '__main__':`"
        ) from None
    if isinstance(make, nn.Module) or not callable(make):
        raise ConfigError(
            f"--model {factory!r} is a {type(make).__name__} and no factory; write "
            f"`def build(): return {name}` and give {module}:build"
        )
    return make


class Guarded(nn.Module):
    """A user's network: what its forward does wrong is a sentence, and no figure.

    Args:
        net: the network. classes: how many logits it must give.
    """

    def __init__(self, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.net, self.classes = net, classes

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, classes)."""
        try:
            logits = self.net(x)
        except RayatError:
            raise
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"the network does not take images {tuple(x.shape)}: {said(error)}"
            ) from None
        expected = (len(x), self.classes)
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if shape != expected:
            raise ConfigError(
                f"the network gives {shape} for {len(x)} images, the data has {self.classes} "
                f"classes; it must give logits {expected}"
            )
        if not logits.is_floating_point() or logits.device != x.device:
            raise ConfigError(
                f"the network gives {logits.dtype} on {logits.device}; it must give logits, "
                f"floating-point numbers, on {x.device}"
            )
        checked: Tensor = logits
        return checked


def check_network(
    model: nn.Module,
    prepared: Prepared,
    device: str = "cpu",
    split: Split = "test",
    gradients: bool = True,
) -> int:
    """Refuse a network whose robust accuracy would mean nothing on this data.

    Args:
        gradients: whether a suite that needs them was asked for.

    Returns:
        The forward passes made, summed over images.

    Raises:
        ConfigError: logits of another shape, not finite, probabilities, random ones or such as
            depend on the batch; no gradient, or one that is not finite.
    """
    net = model if isinstance(model, Guarded) else Guarded(model, len(prepared.classes))
    places = looks(prepared.test if split == "test" else prepared.val, device)
    with attacked(net) as frozen:
        with torch.no_grad():
            logits = torch.cat([frozen(x.clone()) for x, _ in places])
        broken = int((~finite(logits)).sum())
        if broken:
            raise ConfigError(
                f"the network gives logits that are not finite for {broken} of {len(logits)} "
                "images; look at its weights"
            )
        _refuse_probabilities(logits)
        passes = len(logits) + depends_on_nothing_else(frozen, places)
        if gradients:
            has_gradients(frozen, places, lambda e: f"the network's gradient failed: {said(e)}")
            passes += len(logits)
    return passes


def _refuse_probabilities(logits: Tensor) -> None:
    if not ((logits >= 0) & (logits <= 1)).all():
        return
    if ((logits.float().sum(1) - 1).abs() < 1e-2).all():
        raise ConfigError(
            "the network gives probabilities (every output sums to 1), whose gradients vanish "
            "and make attacks look weak; return logits: leave out the softmax"
        )
    raise ConfigError(
        "the network gives outputs that all lie in [0, 1], like a sigmoid's, whose gradients "
        "vanish and make attacks look weak; return logits: leave out the sigmoid"
    )


def said(error: BaseException) -> str:
    """Return an error of a user's code on one line, such as `ValueError: no such layer`."""
    return f"{type(error).__name__}: {_line(error)}".removesuffix(": ")


def _line(error: BaseException) -> str:
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an error whose own text fails
        lines = []
    return lines[0][:300] if lines else ""
