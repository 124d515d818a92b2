"""The command line as a whole: no option is dropped in silence."""

from __future__ import annotations

import pytest
import typer

from rayat.cli.app import app

VERBS = typer.main.get_command(app).commands
SINGLE = [
    (verb, option.opts[0])
    for verb, command in VERBS.items()
    for option in command.params
    if option.param_type_name == "option" and not option.multiple and not option.is_flag
]


def test_there_are_options_to_look_at():
    assert len(SINGLE) > 50 and {verb for verb, _ in SINGLE} > {
        "run",
        "evaluate",
        "import",
        "bench",
    }


@pytest.mark.parametrize(("verb", "option"), SINGLE)
def test_an_option_of_one_value_is_refused_where_it_is_given_twice(rayat, verb, option):
    """Before anything is read: arguments that are missing are not what is said."""
    result = rayat(verb, option, "1", f"{option}=2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (f"{option} is given 2 times and only one value counts: give it once\n")


def test_a_switch_may_be_said_again_and_what_is_meant_to_be_repeated_too(rayat):
    assert rayat("ls", "shapes", "--json", "--json").exit_code == 0
    result = rayat("import", "table", "none.csv", "--map", "lr=a", "--map", "seconds=b")
    assert "no such file" in result.stderr
    twice = rayat("import", "table", "none.csv", "--map", "lr=a", "--map", "lr=b")
    assert twice.exit_code == 2 and "--map names lr twice, as a and as b" in twice.stderr
