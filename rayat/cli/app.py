"""The command `rayat`: its verbs in the order of use, its exit codes, its errors as sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

import rayat
from rayat.cli import (
    answers,
    caching,
    catalogue,
    concluding,
    confirming,
    doctor,
    evaluating,
    importing,
    measuring,
    merging,
    planning,
    policies,
    reproducing,
    results,
    running,
    watching,
)
from rayat.compare.text import printable
from rayat.errors import ConfigError, LedgerError, RayatError

WRONG_INPUT, LEDGER, TRIALS_LOST, INTERRUPTED = 2, 3, concluding.TRIALS_LOST, concluding.INTERRUPTED

EPILOG = """\b
Exit codes:
  0    done
  1    a bug of rayat; the traceback says where
  2    wrong input: nothing was started
  3    a run's folder is damaged, missing, or written by another driver;
       or its cluster's head died: the command that goes on is printed
  4    the run ended, but some trials failed or were lost;
       for import, some were left out;
       for verify, a decision differs; for bench --strict, a bar was missed
  130  interrupted; the command that goes on is printed"""


class Commands(TyperGroup):
    """Turns errors that a user is meant to read into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except RayatError as error:
            typer.echo(printable(str(error)), err=True)
            code = LEDGER if isinstance(error, LedgerError) else WRONG_INPUT
            raise typer.Exit(code) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


class Verb(TyperCommand):
    """A verb that refuses an option given twice of which the parser would keep the last alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line. Raises `ConfigError` for an option that is taken once."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in given:
            if not isinstance(option, TyperOption) or option.multiple or option.count:
                continue
            switch = option.is_flag and not option.secondary_opts  # given again, it is the same
            if not switch and given.count(option) > 1:
                raise ConfigError(
                    f"{option.opts[0]} is given {given.count(option)} times and only one value "
                    "counts: give it once"
                )
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Commands,
    epilog=EPILOG,
    no_args_is_help=True,
    # Plain help and plain tracebacks: they fit any terminal, and Rich is loaded only for the table.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rayat {rayat.__version__}")
        raise typer.Exit


@app.callback()
def _rayat(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find out which schedule trains a robust model sooner."""


_VERBS: dict[str, Callable[..., None]] = {
    "ls": catalogue.ls,
    "show": catalogue.show,
    "train": running.train,
    "plan": planning.plan,
    "run": running.run,
    "resume": running.resume,
    "status": results.status,
    "watch": watching.watch,
    "refit": running.refit,
    "best": answers.best,
    "confirm": confirming.confirm,
    "reproduce": reproducing.reproduce,
    "evaluate": evaluating.evaluate,
    "compare": results.compare,
    "report": results.report,
    "what-if": answers.what_if,
    "replay": policies.replay,
    "compare-policies": policies.compare_policies,
    "import": importing.import_,
    "verify": policies.verify,
    "repair": results.repair,
    "merge": merging.merge,
    "copy": results.copy,
    "cache": caching.cache,
    "doctor": doctor.doctor,
    "bench": measuring.bench,
    "profile": measuring.profile,
}
for _verb, _command in _VERBS.items():
    app.command(_verb, cls=Verb)(_command)
