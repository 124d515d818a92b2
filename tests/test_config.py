"""TrialConfig: strict, frozen, canonical, addressed by dotted keys."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rayat.config import TrialConfig, known_keys, merge
from rayat.errors import ConfigError
from rayat.layers import flatten
from rayat.registry import ATTACKS, SHAPES

parse = TrialConfig.parse


def message(value) -> str:
    with pytest.raises(ConfigError) as error:
        parse(value)
    return str(error.value)


def test_defaults_make_a_configuration():
    config = parse({})
    assert config.data.kind == "digits"
    assert config.lr.kind == "onecycle"
    assert config.seed == 0


def test_dotted_nested_and_named_forms_are_the_same():
    dotted = parse({"lr.shape": "cosine", "lr.peak": 0.3, "eval.steps": 5})
    nested = parse({"lr": {"shape": "cosine", "peak": 0.3}, "eval": {"steps": 5}})
    mixed = parse({"lr": "cosine", "lr.peak": 0.3, "eval": {"steps": 5}})
    part = parse({"lr": SHAPES.build({"shape": "cosine", "peak": 0.3}), "eval.steps": 5})
    assert dotted == nested == mixed == part
    assert dotted.canonical() == nested.canonical()


def test_the_order_of_keys_does_not_matter():
    changes = {"lr.peak": 0.3, "lr.start": 0.5, "lr.shape": "onecycle", "epochs": 3}
    back = dict(reversed(changes.items()))
    assert parse(changes) == parse(back)
    assert parse(changes).canonical() == parse(back).canonical()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"epoch": 3}, "unknown key 'epoch' (did you mean 'epochs'?)"),
        ({"lrr": "cosine"}, "unknown key 'lrr' (did you mean 'lr'?)"),
        ({"zzzz": 3}, "unknown key 'zzzz'"),
        ({"lr.shap": "cosine"}, "of lr 'onecycle' (did you mean 'lr.shape'?)"),
        ({"lr.pek": 1}, "unknown key 'lr.pek' of lr 'onecycle' (did you mean 'lr.peak'?)"),
        ({"lr": {"shape": "cosine", "pek": 1}}, "unknown key 'lr.pek' of lr 'cosine'"),
        ({"eval.step": 1}, "unknown key 'eval.step' (did you mean 'eval.steps'?)"),
        ({"weights.apw": 1}, "unknown key 'weights.apw' (did you mean 'weights.awp'?)"),
        ({"weights.awp": -0.1}, "weights.awp: input should be greater than or equal to 0, got"),
        ({"weights.average": "mean"}, "weights.average: input should be 'none', 'ema' or 'swa'"),
        ({"lr.shape": "cosin"}, "unknown lr 'cosin' (did you mean 'cosine'?); known: accelat"),
        ({"lr.shape": None}, "unknown lr 'None'"),
        ({"lr": {"peak": 1}}, "lr has no 'shape': give one of accelat"),
        ({"lr": 3}, "lr must be a name or a mapping with 'shape', got 3"),
        ({"epochs": 0}, "epochs: input should be greater than or equal to 1, got 0"),
        ({"epochs": "many"}, "got 'many'"),
        ({"seed": -1}, "seed: "),
        ({"seed": 2**32}, "seed: "),
        ({"precision": "fp8"}, "precision: input should be 'fp32' or 'bf16', got 'fp8'"),
        ({"cpus_per_worker": float("nan")}, "cpus_per_worker: "),
        ({"epochs": 3, "epochs.more": 1}, "unknown key 'epochs.more': 'epochs' is a value"),
        ({7: 3}, "a configuration's keys must be words, got 7"),
        ({"lr": {"shape": "cosine", 7: 3}}, "lr: keys must be words, got 7"),
        ([1], "a configuration is a mapping of keys to values, got [1]"),
        (
            {"batch_size": 100, "workers": 3},
            "batch_size must be a multiple of workers=3, got 100",
        ),
    ],
)
def test_errors_name_the_key_and_the_cure(value, text):
    assert text in message(value)


def test_an_error_is_one_sentence_on_one_line():
    assert message({"batch_size": 100, "workers": 3}).count("got") == 1
    assert "\n" not in message({"epochs": "many", "seed": -1})


def test_a_change_of_name_keeps_what_every_method_of_the_room_has():
    base = {"lr": {"shape": "onecycle", "peak": 0.3, "warmup": 0.1, "start": 0.5}}
    changed = merge(base, {"lr.shape": "cosine"})
    assert changed["lr"] == {"shape": "cosine", "peak": 0.3, "warmup": 0.1}
    assert parse(changed).lr == SHAPES.build({"shape": "cosine", "peak": 0.3, "warmup": 0.1})
    same = merge(base, {"lr.shape": "onecycle"})
    assert same["lr"] == base["lr"]


def test_a_part_given_whole_replaces_the_old_one():
    base = {"lr": {"shape": "onecycle", "peak": 0.3}}
    assert merge(base, {"lr": {"shape": "cosine"}})["lr"] == {"shape": "cosine"}


def test_a_bare_name_names_the_method_as_the_dotted_key_does():
    base = {"attack": {"name": "pgd", "eps": 0.2, "steps": 3}}
    for change in ({"attack": "fgsm"}, {"attack.name": "fgsm"}):
        assert parse(merge(base, change)).attack == ATTACKS.build({"name": "fgsm", "eps": 0.2})
    # With nothing below it is the method with its own defaults.
    assert parse({"lr": "cosine"}).lr == SHAPES.build("cosine")


def test_a_parameter_of_the_new_method_lands_in_it():
    changed = merge({"lr": "onecycle"}, {"lr.power": 2, "lr.shape": "linear"})
    assert parse(changed).lr.power == 2


def test_merge_leaves_its_arguments_alone():
    base = {"lr": {"shape": "cosine"}, "eval": {"steps": 3}}
    kept = json.dumps(base)
    merge(base, {"lr.peak": 1, "eval.steps": 4})
    assert json.dumps(base) == kept


def test_replace_checks_again():
    config = parse({"lr.shape": "cosine", "workers": 2})
    assert config.replace({"lr.peak": 0.7}).lr.peak == 0.7
    assert config.lr.peak != 0.7
    with pytest.raises(ConfigError, match="multiple of workers=2"):
        config.replace({"batch_size": 3})


def test_a_configuration_is_frozen():
    config = parse({})
    with pytest.raises(ValidationError):
        config.epochs = 3
    assert parse(config) is config


@settings(max_examples=50, deadline=None)
@given(
    shape=st.sampled_from(SHAPES.names()),
    peak=st.floats(1e-6, 10),
    epochs=st.integers(1, 500),
    seed=st.integers(0, 2**32 - 1),
)
def test_canonical_json_round_trips(shape, peak, epochs, seed):
    config = parse({"lr.shape": shape, "lr.peak": peak, "epochs": epochs, "seed": seed})
    again = parse(json.loads(config.canonical()))
    assert again == config
    assert again.canonical() == config.canonical()
    assert again.sha256() == config.sha256()
    assert parse(config.flat()) == config


def test_the_hash_is_equal_in_another_process():
    changes = {"lr.shape": "piecewise", "epochs": 7}
    code = f"from rayat.config import TrialConfig as T; print(T.parse({changes!r}).sha256())"
    env = {"PYTHONHASHSEED": "17", "PATH": ""}
    out = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == parse(changes).sha256()


def test_the_hash_sees_every_leaf_and_one_spelling_of_a_number():
    one = parse({"lr.peak": 1})
    assert one.sha256() == parse({"lr.peak": 1.0}).sha256()
    assert one.sha256() != parse({"lr.peak": 1.0000001}).sha256()
    assert one.sha256() != parse({"lr.peak": 1, "eval.steps": 11}).sha256()


def test_config_id_ignores_the_seed_and_nothing_else():
    base = parse({})
    assert base.config_id == base.replace({"seed": 9}).config_id
    assert base.sha256() != base.replace({"seed": 9}).sha256()
    assert base.config_id != base.replace({"epochs": 11}).config_id
    assert len(base.config_id) == 12


def test_flat_addresses_every_leaf():
    flat = parse({"lr.shape": "piecewise"}).flat()
    assert flat["lr.shape"] == "piecewise"
    assert flat["lr.multipliers"] == [1.0, 0.1, 0.01]
    assert flat["eval.size"] is None
    assert not any(isinstance(value, dict) for value in flat.values())


def test_flatten_and_known_keys():
    tree = {"a": {"b": {"c": 1}}, "d": [1, {"e": 2}]}
    assert flatten(tree) == {"a.b.c": 1, "d": [1, {"e": 2}]}
    assert known_keys(tree) == ["a", "a.b.c", "d"]
