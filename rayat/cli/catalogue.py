"""`rayat ls` and `rayat show`: what there is, and what each method takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BeforeValidator

from rayat.cli.studies import claim, short
from rayat.cli.text import as_json, columns
from rayat.compare.text import printable
from rayat.errors import ConfigError, nearest

KINDS = (
    "shapes",
    "policies",
    "data",
    "models",
    "attacks",
    "schedules",
    "objectives",
    "optimizers",
    "pruners",
    "exchanges",
    "suites",
    "searchers",
    "followers",
    "studies",
)
"""The registries' rooms, and the shipped studies."""

EPOCHS_DRAWN = 60


def _kinds(incomplete: str) -> list[str]:
    """Return the kinds that a word may become, for the shell."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def ls(
    kind: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(KINDS)}.", show_default=False, autocompletion=_kinds
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List methods and shipped studies, each with its claim."""
    kinds = [_known(kind)] if kind is not None else list(KINDS)
    entries = [(room, name, text) for room in kinds for name, text in _claims(room)]
    if json:
        keys = ("kind", "name", "claim")
        typer.echo(as_json([dict(zip(keys, entry, strict=True)) for entry in entries]))
    elif kind is None:
        typer.echo(columns(entries))
    else:
        typer.echo(columns(entry[1:] for entry in entries))


def show(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.", autocompletion=_kinds)],
    name: Annotated[
        str | None, typer.Argument(help="One method or study; all if left out.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Picture of the shapes; shapes.png if no name is given."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show the parameters of methods; draw the shapes.

    Every parameter is shown with its default, meaning and range. `rayat show shapes` also draws
    all learning-rate shapes to a picture; a name and --out draw one.
    """
    _known(kind)
    if out is not None and kind != "shapes":
        raise ConfigError(f"--out draws shapes, and {kind} have no picture; leave it out")
    if kind == "studies":
        _show_studies(name, json)
        return
    from rayat.registry import ROOMS

    registry = ROOMS[kind]
    names = registry.names() if name is None else [name]
    cards = {}
    for each in names:
        try:
            cards[each] = _card(registry.get(each))
        except ConfigError as error:  # of an installed package that is broken
            if name is not None:
                raise
            typer.echo(printable(f"warning: {error}"), err=True)
    if json:
        typer.echo(as_json(cards))
    else:
        typer.echo("\n\n".join(_text(each, card) for each, card in cards.items()))
    if kind == "shapes" and (out is not None or (name is None and not json)):
        from rayat.compare.plots import draw_shapes, save

        curves = [(each, registry.get(each)().curve(EPOCHS_DRAWN)) for each in cards]
        path = save(draw_shapes(curves), (out or Path("shapes.png")).absolute())
        typer.echo(f"\ndrawn to {printable(short(path))}", err=json)


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}{nearest(kind, KINDS)}; known: {', '.join(KINDS)}")
    return kind


def _claims(kind: str) -> Iterator[tuple[str, str]]:
    if kind == "studies":
        from rayat.api.studies import shipped

        yield from ((name, claim(path)) for name, path in shipped().items())
        return
    from rayat.registry import ROOMS

    registry = ROOMS[kind]
    for name in registry.names():
        try:
            yield name, registry.get(name).claim()
        except ConfigError as error:  # of an installed package that is broken
            yield name, f"(cannot be used: {error})"


def _show_studies(name: str | None, json: bool) -> None:
    from rayat.api.studies import shipped

    known = shipped()
    if name is not None and name not in known:
        raise ConfigError(
            f"unknown study {name!r}{nearest(name, known)}; known: {', '.join(known)}"
        )
    chosen = {each: path for each, path in known.items() if name in (None, each)}
    if json:
        cards = {k: {"path": str(p), "claim": claim(p)} for k, p in chosen.items()}
        typer.echo(as_json(cards))
    elif name is None:
        typer.echo(columns((k, claim(p), p) for k, p in chosen.items()))
    else:
        typer.echo(chosen[name].read_text(encoding="utf-8"), nl=False)


def _card(cls: Any) -> dict[str, Any]:
    """Return a method's docstring and parameters as JSON values."""
    parameters = {}
    for key, field in cls.model_fields.items():
        required = field.is_required()
        parameters[key] = {
            "default": None if required else field.get_default(call_default_factory=True),
            "required": required,
            # How a value is read is a function, and no range.
            "range": ", ".join(
                str(m) for m in field.metadata if not isinstance(m, BeforeValidator)
            ),
            "meaning": field.description or "",
        }
    return {"doc": inspect.getdoc(cls) or "", "key": cls.key, "parameters": parameters}


def _text(name: str, card: dict[str, Any]) -> str:
    rows = [
        (
            key,
            "(required)" if entry["required"] else f"{entry['default']}",
            entry["meaning"] + (f" [{entry['range']}]" if entry["range"] else ""),
        )
        for key, entry in card["parameters"].items()
    ]
    lines = [
        printable(name),
        *(f"  {printable(line)}".rstrip() for line in card["doc"].splitlines()),
    ]
    lines += ["    " + line for line in columns(rows).splitlines()]
    return "\n".join(lines)
