"""Methods by name: one file in a room's folder registers itself, and nothing else changes.

A `Part` is a frozen, validated description of one method and its parameters. It is at once the
configuration (it has a canonical form and travels as JSON) and the thing that runs. Registries
import a room only when a name of that room is asked for, so a configuration that names no attack
never loads torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rayat.errors import ConfigError, nearest


class Part(BaseModel):
    """One method with its parameters: frozen, unknown keys refused, equal by value.

    Subclasses are registered by name; the first line of their docstring is the method's claim.
    """

    # Infinity and NaN have no JSON: "no limit" is null.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    kind: ClassVar[str] = ""
    """The registered name; set by `Registry.register`."""
    key: ClassVar[str] = "name"
    """The key that holds the registered name in the part's mapping form."""
    shorthand: ClassVar[str | None] = None
    """The parameter that `name:value` fills: `timm:resnet18` is `{name: timm, arch: resnet18}`."""

    def spec(self) -> dict[str, Any]:
        """Return the mapping form: the name first, then every parameter, defaults included."""
        return {self.key: self.kind, **self.model_dump(mode="json")}

    @classmethod
    def claim(cls) -> str:
        """Return the first sentence of the docstring: what the method says of itself."""
        return (cls.__doc__ or "").strip().split("\n")[0]

    def check(self, config: Any) -> None:
        """Refuse a `TrialConfig` in which this part makes no sense.

        Called once when the configuration is built. Raises `ConfigError`; the default accepts all.
        """

    def replace(self, **changes: Any) -> Self:
        """Return a copy with the given parameters, validated again."""
        return type(self)(**{**self.model_dump(), **changes})


P = TypeVar("P", bound=Part)


class Registry(Generic[P]):
    """Names to parts for one room.

    Args:
        path: where the part stands in a trial's configuration, such as `attack`; used in errors.
        package: the folder whose modules register themselves when imported.
        key: the key that holds the name (`shape` for learning rates, `name` elsewhere).
    """

    def __init__(self, path: str, package: str, key: str = "name") -> None:
        self.path, self.package, self.key = path, package, key
        self._parts: dict[str, type[P]] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[type[P]], type[P]]:
        """Return the class decorator that registers a part under `name`."""

        def add(cls: type[P]) -> type[P]:
            if not cls.__module__.startswith(f"{self.package}."):
                self._load()  # so that a name of the room is known to be taken
            taken = self._parts.get(name)
            if taken is not None and taken.__module__ != cls.__module__:
                raise ValueError(f"{self.path} {name!r} is registered by {taken.__module__} too")
            cls.kind, cls.key = name, self.key
            self._parts[name] = cls
            return cls

        return add

    def _load(self) -> None:
        if not self._loaded:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")
            self._loaded = True

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        self._load()
        return sorted(self._parts)

    def get(self, name: str) -> type[P]:
        """Return the class registered under `name`.

        Raises:
            ConfigError: no such name; the text gives the nearest one and how to list them.
        """
        self._load()
        if name not in self._parts:
            raise ConfigError(
                f"unknown {self.path} {name!r}{nearest(name, self._parts)}; "
                f"known: {', '.join(sorted(self._parts))}"
            )
        return self._parts[name]

    def common(self, name: str) -> set[str]:
        """Return the parameters that every part of the room has (they survive a change of name)."""
        base = self.get(name)
        for cls in base.__mro__:
            if Part in getattr(cls, "__bases__", ()):
                base = cls
                break
        return set(base.model_fields)

    def build(self, value: object) -> P:
        """Make a part from a part, a name, or a mapping with the name and parameters.

        Raises:
            ConfigError: unknown name, unknown parameter (with the nearest one) or a wrong value.
        """
        if isinstance(value, Part):
            return value  # type: ignore[return-value]
        if isinstance(value, str):
            value = {self.key: value}
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{self.path} must be a name or a mapping with {self.key!r}, got {value!r}"
            )
        fields = dict(value)
        strange = [key for key in fields if not isinstance(key, str)]
        if strange:
            raise ConfigError(f"{self.path}: keys must be words, got {strange[0]!r}")
        if self.key not in fields:
            raise ConfigError(
                f"{self.path} has no {self.key!r}: give one of {', '.join(self.names())}"
            )
        name = fields.pop(self.key)
        if not isinstance(name, str):
            raise ConfigError(f"{self.path}.{self.key} must be a name, got {name!r}")
        if ":" in name:
            name, _, argument = name.partition(":")
            shorthand = self.get(name).shorthand
            if shorthand is None:
                raise ConfigError(f"{self.path} {name!r} takes nothing after a colon")
            fields.setdefault(shorthand, argument)
        cls = self.get(name)
        try:
            return cls(**fields)
        except ValidationError as error:
            known = [f"{self.path}.{field}" for field in (self.key, *cls.model_fields)]
            owner = f" of {self.path} {name!r}"
            raise ConfigError(explain(error, self.path, known, owner)) from None


def explain(error: ValidationError, path: str, known: list[str], owner: str = "") -> str:
    """Turn pydantic's first complaint into one sentence with dotted keys and the nearest name."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in ([path] if path else []) + list(first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}{owner}{nearest(where, known)}"
    if first["type"] == "missing":
        return f"missing key {where!r}{owner}"
    message = first["msg"].removeprefix("Value error, ")
    message = f"{where}: {message[:1].lower()}{message[1:]}" if where else message
    # A validator over several keys was given the whole mapping: it says itself what is wrong in it.
    said = not first["loc"] or ", got " in message
    return message if said else f"{message}, got {first.get('input')!r}"


# The rooms. A typed view of each part stands in the room's own base module.
SHAPES: Registry[Any] = Registry("lr", "rayat.lr_shapes", key="shape")
POLICIES: Registry[Any] = Registry("policy", "rayat.policies")
SOURCES: Registry[Any] = Registry("data", "rayat.data.sources")
MODELS: Registry[Any] = Registry("model", "rayat.models")
ATTACKS: Registry[Any] = Registry("attack", "rayat.attacks")
SCHEDULES: Registry[Any] = Registry("attack_schedule", "rayat.attack_schedules")
OBJECTIVES: Registry[Any] = Registry("objective", "rayat.objectives")
OPTIMIZERS: Registry[Any] = Registry("optimizer", "rayat.optimizers")
PRUNERS: Registry[Any] = Registry("pruning", "rayat.pruning")
EXCHANGES: Registry[Any] = Registry("exchange", "rayat.exchanges")
SUITES: Registry[Any] = Registry("suite", "rayat.suites")
SEARCHERS: Registry[Any] = Registry("search", "rayat.search")
FOLLOWERS: Registry[Any] = Registry("follow", "rayat.followers")

ROOMS: dict[str, Registry[Any]] = {
    "shapes": SHAPES,
    "policies": POLICIES,
    "data": SOURCES,
    "models": MODELS,
    "attacks": ATTACKS,
    "schedules": SCHEDULES,
    "objectives": OBJECTIVES,
    "optimizers": OPTIMIZERS,
    "pruners": PRUNERS,
    "exchanges": EXCHANGES,
    "suites": SUITES,
    "searchers": SEARCHERS,
    "followers": FOLLOWERS,
}
"""What `rayat ls` lists, by the word a user types."""
