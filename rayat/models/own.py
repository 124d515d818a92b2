"""Networks of one's own: any callable `module:factory` that returns a network of pixels."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

import torch
from pydantic import Field, create_model
from torch import Tensor, nn

from rayat.errors import ConfigError
from rayat.models._body import Body
from rayat.models.base import Model, Normalised
from rayat.models.folded import Layer, chain

GIVEN = ("shape", "classes", "num_classes")
"""Parameters of a factory that the data gives, unless the configuration does: (C, H, W) of the
images, and the number of logits under either name."""
PLAIN = (int, float, bool, str, type(None))
"""Types that a configuration can hold and check; a parameter of another type is passed as it is."""


class OwnModel(Model):
    """A network that a callable `module:factory` makes; pixels in [0, 1] go in as they are."""

    reference: ClassVar[str] = ""
    factory: ClassVar[Callable[..., Any]]
    given: ClassVar[tuple[str, ...]] = ()

    def body(self, shape: tuple[int, int, int], classes: int) -> OwnBody:
        """Return the network for images of `shape` (C, H, W), as the factory makes it.

        Raises:
            ConfigError: the factory raises, or returns no network.
        """
        known: dict[str, Any] = {"shape": shape, "classes": classes, "num_classes": classes}
        set_here = {k: getattr(self, k) for k in type(self).model_fields}
        arguments = {k: known[k] for k in self.given}
        arguments.update({k: v for k, v in set_here.items() if k not in GIVEN or v is not None})
        try:
            net = type(self).factory(**arguments)
        except ConfigError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"model {self.kind!r}: {self.reference} raised {type(error).__name__}: {said}"
            ) from error
        if not isinstance(net, nn.Module):
            raise ConfigError(
                f"model {self.kind!r}: {self.reference} returned a {type(net).__name__} and no "
                "torch.nn.Module"
            )
        return OwnBody(net, self.kind)

    def build(
        self,
        shape: tuple[int, int, int],
        classes: int,
        seed: int,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> Normalised:
        """Return the whole network: it normalises by itself, so mean and std are not used."""
        return super().build(shape, classes, seed)


class OwnBody(Body):
    """Somebody's network under the names that every body has; `net` keeps its own state names."""

    def __init__(self, net: nn.Module, name: str) -> None:
        super().__init__()
        self.net, self.name = net, name

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to logits (B, classes)."""
        logits: Tensor = self.net(x)
        return logits

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to the input (B, F) of `head`. Raises like `head`."""
        features: Tensor = self._split("forward_features")(x)
        return features

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """Return the last layer. Raises `ConfigError` where the network does not name it."""
        head: nn.Module = self._split("head")
        return head

    def _split(self, name: str) -> Any:
        found = getattr(self.net, name, None)
        if found is None:
            raise ConfigError(
                f"model {self.name!r} has no `{name}`: this pruning needs a network with "
                "`forward_features(x)` and a last layer `head`; add both, or use pruning random"
            )
        return found

    def folded(self, dtype: torch.dtype, std: Tensor) -> Layer | None:
        """Return a frozen copy of nested `nn.Sequential`s that is faster to attack; else None."""
        layers = _flat(self.net)
        return None if layers is None else chain(layers, dtype, std)


def _flat(net: nn.Module) -> list[nn.Module] | None:
    if type(net) is not nn.Sequential:
        return None
    layers: list[nn.Module] = []
    for module in net:
        layers += _flat(module) or [module]
    return [module for module in layers if type(module) is not nn.Identity]


def adapted(reference: str, factory: Any) -> type[OwnModel]:
    """Return the class of a factory's network: its parameters are those of the factory.

    Raises:
        ConfigError: it cannot be called, or takes what a configuration cannot give.
    """
    if isinstance(factory, nn.Module) or not callable(factory):
        raise ConfigError(
            f"model {reference!r} is a {type(factory).__name__} and no factory; give a function "
            "that returns the network"
        )
    fields: dict[str, Any] = {}
    given: list[str] = []
    for name, parameter in _parameters(reference, factory).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        required = parameter.default is parameter.empty
        if name in GIVEN and required:
            given.append(name)
            fields[name] = (Any, Field(None, description="null: as the data has it"))
            continue
        if (
            hasattr(Model, name)
            or name.startswith("_")
            or parameter.kind == (parameter.POSITIONAL_ONLY)
        ):
            raise ConfigError(
                f"model {reference!r}: a configuration cannot give its parameter {name!r}; name it "
                "otherwise, without a leading underscore"
            )
        if required:
            fields[name] = (parameter.annotation, ...)
        elif _is_json(parameter.default):
            fields[name] = (parameter.annotation, parameter.default)
    cls: type[OwnModel] = create_model(
        reference.partition(":")[2].replace(".", "_"),
        __base__=OwnModel,
        __module__=reference.partition(":")[0],
        __doc__=_claim(reference, factory),
        **fields,
    )
    cls.reference, cls.given = reference, tuple(given)
    cls.factory = staticmethod(factory)
    return cls


def _parameters(reference: str, factory: Any) -> dict[str, inspect.Parameter]:
    """Return a factory's parameters, each with a type that a configuration can check, or Any."""
    try:
        found = dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        raise ConfigError(
            f"model {reference!r} does not say its parameters; wrap it in a function that does"
        ) from None
    try:
        hints = get_type_hints(vars(factory)["__init__"] if isinstance(factory, type) else factory)
    except Exception:
        hints = {}
    return {
        name: each.replace(annotation=hints[name] if _is_plain(hints.get(name)) else Any)
        for name, each in found.items()
    }


def _is_plain(hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return all(_is_plain(each) for each in get_args(hint))
    return hint in PLAIN


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _claim(reference: str, factory: Any) -> str:
    said = (inspect.getdoc(factory) or "").strip()
    own = said and not (isinstance(factory, type) and "__doc__" not in vars(factory))
    return said if own else f"The network that {reference} makes."


def unfolded(trials: Iterable[tuple[Any, Mapping[str, Any]]]) -> list[str]:
    """Return a note for each own network that cannot be folded, so that attacks on it take longer.

    Args:
        trials: each `TrialConfig` with what `data.identity.describe` says of its data.
    """
    found: dict[str, bool] = {}
    for config, data in trials:
        model = config.model
        if isinstance(model, OwnModel) and model.kind not in found:
            net = model.build(tuple(data["shape"]), data["classes"], 0)
            found[model.kind] = net.folded(torch.float32) is not None
    return [
        f"model {kind!r} is attacked through autograd: only an nn.Sequential of Conv2d (each with "
        "BatchNorm2d or not), ReLU, AdaptiveAvgPool2d(1), Flatten and Linear can be folded for "
        "speed; its results are right all the same"
        for kind, folds in found.items()
        if not folds
    ]
