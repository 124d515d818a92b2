"""Methods by name: one file in a room's folder registers itself, and nothing else changes.

A name is one of rayat's own, one that a study's file or an installed package adds, or the place of
a class, `package.module:Class` (docs/own-parts.md).

A `Part` is a frozen, validated description of one method and its parameters. It is at once the
configuration (it has a canonical form and travels as JSON) and the thing that runs. Registries
import a room only when a name of that room is asked for, so a configuration that names no attack
never loads torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rayat.errors import ConfigError, nearest
from rayat.references import advertised, load, offering, only


class Part(BaseModel):
    """One method with its parameters: frozen, unknown keys refused, equal by value.

    Subclasses are registered by name; the first line of their docstring is the method's claim.
    """

    # Infinity and NaN have no JSON: "no limit" is null.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    kind: ClassVar[str] = ""
    """The registered name; of a class that nobody registered its place, `module:Class`."""
    key: ClassVar[str] = "name"
    """The key that holds the registered name in the part's mapping form."""
    inert: ClassVar[frozenset[str]] = frozenset()
    """Parameters of the room that move nothing in this method: no axis of one applies to it."""
    shorthand: ClassVar[str | None] = None
    """The parameter that `name:value` fills: `timm:resnet18` is `{name: timm, arch: resnet18}`."""

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        # Not the parent's, which would mean the parent where the part is read again.
        cls.kind = cls.place()

    @classmethod
    def place(cls) -> str:
        """Return where the class is: `module:Class`."""
        return f"{cls.__module__}:{cls.__qualname__}"

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
        base: `module:Class` that every part of the room derives from; empty: any `Part`.
        room: the word in `rayat ls <room>` and in the entry points `rayat.<room>`.
        adapt: `module:function` that makes a part's class of what is named and is no part; called
            with the reference and the object.
    """

    def __init__(
        self,
        path: str,
        package: str,
        key: str = "name",
        base: str = "",
        room: str = "",
        adapt: str = "",
    ) -> None:
        self.path, self.package, self.key = path, package, key
        self.base, self.room, self.adapt = base, room, adapt
        self._parts: dict[str, type[P]] = {}
        self._promised: dict[str, str] = {}
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

    def promise(self, name: str, reference: str) -> None:
        """Let `name` mean the class at `module:Class`, imported when it is asked for."""
        self._promised[name] = reference

    def withdraw(self, modules: Collection[str]) -> dict[str, type[P]]:
        """Forget every promise and the parts of some modules; return these parts by name."""
        self._promised.clear()
        gone = {name: cls for name, cls in self._parts.items() if cls.__module__ in modules}
        for name in gone:
            del self._parts[name]
        return gone

    def restore(self, parts: Mapping[str, type[P]]) -> None:
        """Take back what `withdraw` returned."""
        self._parts.update(parts)

    def _load(self) -> None:
        if not self._loaded:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")
            self._loaded = True

    def names(self) -> list[str]:
        """Return the names: registered, of this study, advertised by installed packages; sorted.

        An advertised one is not imported: only `get` says whether it can be.
        """
        self._load()
        named = {name for name in self._parts if ":" not in name}
        return sorted(named | set(self._promised) | set(self._offered()))

    def _offered(self) -> dict[str, Any]:
        return advertised(self.room) if self.room else {}

    def resolve(self, name: str) -> tuple[type[P], str | None]:
        """Return the class that a name means, and what stands after the colon of `timm:resnet18`.

        Raises:
            ConfigError: no such name, with the nearest one; or `module:Class` cannot be had.
        """
        self._load()
        head, colon, rest = name.partition(":")
        known = {**self._promised, **self._parts}
        if name in known or not colon:
            return self.get(name), None
        if head in known or head in self._offered():
            return self.get(head), rest
        return self.get(name), None

    def kind_of(self, name: str) -> str:
        """Return the name that a part of this name has in a configuration's JSON form."""
        return self.resolve(name)[0].kind if ":" in name else name

    def get(self, name: str) -> type[P]:
        """Return the class of a name, or at `package.module:Class`.

        Raises:
            ConfigError: no such name (the text gives the nearest one and how to list them), or its
                class cannot be imported or is none of this room.
        """
        self._load()
        if name in self._parts:
            return self._parts[name]
        if name in self._promised:
            return self._taken(name, self._promised[name], f"{self.path} {name!r}")
        offered = {} if ":" in name else self._offered()
        if name in offered:
            point = only(offered[name], f"{self.path} {name!r}")
            what = f"{self.path} {name!r} of the package {offering(point)}"
            return self._taken(name, point.value, what)
        if ":" in name:
            near = nearest(name.partition(":")[0], self._parts)
            try:
                return self._taken(name, name, f"{self.path} {name!r}")
            except ConfigError as error:
                raise ConfigError(f"{error}{near}") from None
        raise ConfigError(
            f"unknown {self.path} {name!r}{nearest(name, self.names())}; "
            f"known: {', '.join(self.names())}"
        )

    def _taken(self, name: str, reference: str, what: str) -> type[P]:
        """Import a class, check that it is one of this room, and know it by its name."""
        found: Any = load(reference, what)
        base: Any = load(self.base, what) if self.base else Part
        if self.adapt and not (isinstance(found, type) and issubclass(found, Part)):
            found = load(self.adapt, what)(reference, found)
        if not (isinstance(found, type) and issubclass(found, base)) or found is base:
            more = ", nor a function that returns a network" if self.adapt else ""
            raise ConfigError(
                f"{what} is no {self.path}: {reference} does not derive from "
                f"{base.__module__}.{base.__name__}{more}"
            )
        cls: type[P] = found
        self._known_as(name, cls)
        return cls

    def _known_as(self, name: str, cls: type[P]) -> None:
        if cls.kind == cls.place():  # a registered one keeps its name
            cls.kind, cls.key = name, self.key
        self._parts[name] = cls

    def _own(self, part: P) -> P:
        """Return a part; know a class that was never registered by its place."""
        cls = type(part)
        if cls.kind == cls.place():
            self._known_as(cls.kind, cls)
        return part

    def common(self, name: str) -> set[str]:
        """Return the parameters that every part of the room has (they survive a change of name)."""
        base = self.resolve(name)[0]
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
            return self._own(value)  # type: ignore[arg-type]
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
        cls, argument = self.resolve(name)
        if argument is not None:
            name = name.partition(":")[0]
            if cls.shorthand is None:
                raise ConfigError(f"{self.path} {name!r} takes nothing after a colon")
            fields.setdefault(cls.shorthand, argument)
        try:
            return cls(**fields)
        except TypeError as error:
            missing = sorted(getattr(cls, "__abstractmethods__", ()))
            if not missing:
                raise
            raise ConfigError(
                f"{self.path} {name!r}: {cls.__qualname__} does not define "
                f"{', '.join(missing)}, which every {self.path} has"
            ) from error
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
def _room(room: str, path: str, package: str, base: str, **more: str) -> Registry[Any]:
    return Registry(path, f"rayat.{package}", base=f"rayat.{base}", room=room, **more)


SHAPES = _room("shapes", "lr", "lr_shapes", "lr_shapes.base:LRShape", key="shape")
POLICIES = _room("policies", "policy", "policies", "policies.base:Policy")
SOURCES = _room("data", "data", "data.sources", "data.base:Source")
MODELS = _room("models", "model", "models", "models.base:Model", adapt="rayat.models.own:adapted")
ATTACKS = _room("attacks", "attack", "attacks", "attacks.base:Attack")
SCHEDULES = _room(
    "schedules", "attack_schedule", "attack_schedules", "attack_schedules.base:AttackSchedule"
)
OBJECTIVES = _room("objectives", "objective", "objectives", "objectives.base:Objective")
OPTIMIZERS = _room("optimizers", "optimizer", "optimizers", "optimizers.base:Optimizer")
PRUNERS = _room("pruners", "pruning", "pruning", "pruning.base:Pruner")
EXCHANGES = _room("exchanges", "exchange", "exchanges", "exchanges.base:GradientExchange")
SUITES = _room("suites", "suite", "suites", "suites.base:Suite")
SEARCHERS = _room("searchers", "search", "search", "search.base:Searcher")
FOLLOWERS = _room("followers", "follow", "followers", "followers.base:Follower")

ROOMS: dict[str, Registry[Any]] = {
    registry.room: registry
    for registry in (
        SHAPES,
        POLICIES,
        SOURCES,
        MODELS,
        ATTACKS,
        SCHEDULES,
        OBJECTIVES,
        OPTIMIZERS,
        PRUNERS,
        EXCHANGES,
        SUITES,
        SEARCHERS,
        FOLLOWERS,
    )
}
"""What `rayat ls` lists, by the word a user types."""
