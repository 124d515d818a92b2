from __future__ import annotations

import shlex

import pytest

from rayat.compare.again import again, asked


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["rayat", "run", "quickstart"], "rayat run quickstart"),
        (["rayat", "run", "q", "--out", "my runs/a/"], "rayat run q --out 'my runs/a-again'"),
        (
            ["rayat", "run", "q", "--out=a", "--seeds", "1,2"],
            "rayat run q --out=a-again --seeds 1,2",
        ),
        (["rayat", "refit", "a", "--name", "b"], "rayat refit a --name b-again"),
        (["rayat", "import", "table", "x", "--out", "a"], "rayat import table x --out a"),
        (["study.py"], "study.py"),
        ([], ""),
    ],
)
def test_a_run_is_made_again_beside_the_first(words, text):
    assert again(words) == text


def test_of_an_extended_run_the_last_command_asked_for_all_of_it():
    first, last = ["rayat", "run", "q"], ["rayat", "run", "q", "--seeds", "0,1"]
    assert asked({"command": first}) == first and asked({}) == []
    assert asked({"command": first, "extensions": [{"command": last}]}) == last


def test_what_was_given_is_what_the_shell_reads():
    changes = ["--set", 'model={"name":"cnn","width":4}', "--set", "data.root=~/my data"]
    words = ["rayat", "run", "my study.py", *changes]
    assert shlex.split(again(words)) == words
