"""`rayat evaluate --model`: a user's network and weights, wrong in every plausible way."""

from __future__ import annotations

import json
import string

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NETWORKS = """
import sys
import torch
from torch import nn

class Linear(nn.Module):
    def __init__(self, inputs=64, classes=10):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(inputs, classes)
    def forward(self, x):
        return self.head(x.flatten(1))

def good(): return Linear()
def argument(width): return Linear()
def cuda(): return Linear().cuda()
def prints():
    print("hello from the factory")
    return Linear()
def parses():
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", required=True)
    parser.parse_args()
    return Linear()
def leaves(): sys.exit(3)
def number(): return 3
def few(): return Linear(classes=3)
def wide(): return Linear(inputs=100)

class Around(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.net, self.after = Linear(), after
    def forward(self, x):
        return self.after(self.net(x), x)

class Raising(Linear):
    def forward(self, x):
        raise KeyError("no such thing")
class Ungraded(Linear):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)
def pair(): return Around(lambda z, x: (z, x))
def mapping(): return Around(lambda z, x: {"logits": z})
def classes(): return Around(lambda z, x: z.argmax(1))
def soft(): return Around(lambda z, x: z.softmax(1))
def sigmoid(): return Around(lambda z, x: z.sigmoid())
def batch(): return Around(lambda z, x: z - z.mean(0))
def noisy(): return Around(lambda z, x: z + torch.randn_like(z))
def lost(): return Around(lambda z, x: z / 0)
"""

PARSER = ("usage:", "__main__.py:", "-c:", "pytest")
"""What a factory's own argument parser says before it leaves."""
BAD = {
    "argument": "width",
    "cuda": "",
    "parses": "",
    "leaves": "",
    "number": "nn.Module",
    "few": "classes",
    "wide": "does not take images",
    "Raising": "KeyError",
    "Ungraded": "grad",
    "pair": "tuple",
    "mapping": "dict",
    "classes": "logits",
    "soft": "leave out the softmax",
    "sigmoid": "leave out the sigmoid",
    "batch": "batch",
    "noisy": "",
    "lost": "not finite",
    "absent": "absent",
}


@pytest.fixture
def asked(rayat, tmp_path, monkeypatch):
    """Return a function: `rayat evaluate` of a factory on digits, from the folder that holds it."""
    (tmp_path / "networks.py").write_text(NETWORKS)
    (tmp_path / "broken.py").write_text("def good(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "networks", raising=False)

    def ask(factory, *arguments, attack="fgsm"):
        options = ("--data", "digits", "--eps", "0.1", "--attack", attack, "--n", 16)
        return rayat("evaluate", "--model", factory, *options, *arguments)

    return ask


def refused(result, text=""):
    """Assert one sentence, exit code 2 or 3, and no traceback."""
    assert result.exit_code in (2, 3), (result.output, result.exception)
    assert "Traceback" not in result.output and "Traceback" not in result.stderr
    said = [x for x in result.stderr.strip().splitlines() if not x.startswith(PARSER)]
    assert len(said) == 1, said
    assert text in said[0]


@pytest.mark.parametrize("name", BAD)
def test_a_network_that_cannot_be_measured_is_refused_in_one_sentence(asked, name):
    refused(asked(f"networks:{name}"), BAD[name])


@pytest.mark.parametrize("factory", ["broken:good", "nowhere:good", "networks", ":good", "os:path"])
def test_a_factory_that_is_none_is_refused(asked, factory):
    refused(asked(factory))


@pytest.mark.parametrize("attack", ["pdg-50", "pgd:50x", "pgd-", "autoattack:apgd", "pgd-0"])
def test_a_misspelt_suite_is_refused(asked, attack):
    refused(asked("networks:good", attack=attack))


def test_what_a_factory_prints_does_not_break_the_json(asked):
    result = asked("networks:prints", "--json", "--eps", "8/255")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [row["eps"] for row in rows] == [0.1, pytest.approx(8 / 255)]
    assert "hello from the factory" in result.stderr


FILES = {
    "empty": b"",
    "page": b"<!DOCTYPE html><html>log in</html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n",
    "text": b"no weights at all",
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_no_weights_is_refused(asked, tmp_path, name, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(FILES[name])
    refused(asked("networks:good", "--weights", path), "weights" if name == "text" else "cannot be")
    assert path.read_bytes() == FILES[name]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 2_000), noise=st.binary(max_size=40))
def test_a_file_cut_or_overwritten_anywhere_is_refused(asked, tmp_path, cut, noise):
    path = tmp_path / "weights.pt"
    torch.save({"head.weight": torch.zeros(10, 64), "head.bias": torch.zeros(10)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole) - 1)] + noise)
    refused(asked("networks:good", "--weights", path))


@pytest.mark.parametrize("key", ["net", "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_weights_within_a_file_and_under_a_prefix_are_found(asked, tmp_path, key, prefix):
    path = tmp_path / "weights.pt"
    state = {f"{prefix}head.weight": torch.randn(10, 64), f"{prefix}head.bias": torch.zeros(10)}
    torch.save({key: state, "epoch": 3, "other": {"x": torch.zeros(1)}}, path)
    refused(asked("networks:good", "--weights", path), "--weights-key")
    refused(
        asked("networks:good", "--weights", path, "--weights-key", "nte"), "no weights under 'nte'"
    )
    result = asked("networks:good", "--weights", path, "--weights-key", key, "--json")
    assert result.exit_code == 0, result.stderr
    assert (prefix in result.stderr) and json.loads(result.stdout)[0]["n"] == 16


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(string.printable, max_size=12))
def test_no_radius_ends_in_a_traceback(asked, text):
    result = asked("networks:good", "--eps", text)
    assert result.exit_code in (0, 2), (text, result.exception)
    assert "Traceback" not in result.output


WRONG_WORLD = """
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

class Nearest(nn.Module):
    def __init__(self, scale=1.0, shift=0):
        super().__init__()
        x, y = load_digits(return_X_y=True)
        means = np.stack([x[y == c].mean(0) for c in range(10)]) / 16
        self.register_buffer("means", torch.tensor(means, dtype=torch.float32))
        self.scale, self.shift = scale, shift
    def forward(self, x):
        apart = (self.scale * x.flatten(1))[:, None] - self.means
        return -apart.square().sum(2).roll(self.shift, 1)

def right(): return Nearest()
def labels(): return Nearest(shift=3)
def nothing(): return Nearest(scale=0.0)
"""


@pytest.mark.parametrize(
    ("factory", "warned"), [("right", False), ("labels", True), ("nothing", True)]
)
def test_a_clean_accuracy_of_chance_is_said(rayat, tmp_path, monkeypatch, factory, warned):
    (tmp_path / "worlds.py").write_text(WRONG_WORLD)
    monkeypatch.chdir(tmp_path)
    options = ("--data", "digits", "--eps", "0.01", "--attack", "fgsm", "--n", 200)
    table = rayat("evaluate", "--model", f"worlds:{factory}", *options)
    whole = rayat("evaluate", "--model", f"worlds:{factory}", *options, "--json")
    assert table.exit_code == whole.exit_code == 0
    (row,) = json.loads(whole.stdout)
    # 0.1 and three standard errors of it on 200 images.
    sentence = "on 200 images is no more than chance (up to 0.164): the network may expect other"
    assert (sentence in table.stdout) is (sentence in whole.stderr) is warned
    signs = json.loads(row["flags_json"] or "{}")
    assert ("chance_level" in signs) is warned
    assert (row["clean_acc"] > 0.8) is not warned
