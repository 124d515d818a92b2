"""Networks from elsewhere: what is taken, and what is refused with a reason."""

from __future__ import annotations

import pickle
import sys

import pytest
import safetensors.torch
import torch
from torch import nn

from rayat.data.prepare import prepare
from rayat.errors import ConfigError
from rayat.evaluation.foreign import check_network, load_network

MODULE = """
import torch
from torch import nn

def net(classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

def few():
    return net(3)

def soft():
    return nn.Sequential(net(), nn.Softmax(1))

def color():
    return nn.Sequential(nn.Conv2d(3, 1, 1), net())

class Noisy(nn.Module):
    def forward(self, x):
        return torch.randn(len(x), 10)

class Lost(nn.Module):
    def forward(self, x):
        return torch.full((len(x), 10), float("nan"))

number = lambda: 3
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    """Return a maker of factory texts in a module of the test's own."""
    name = f"foreign_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda function: f"{name}:{function}"
    sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def prepared():
    from rayat.registry import SOURCES

    return prepare(SOURCES.build("digits"))


@pytest.mark.parametrize("kind", ["safetensors", "pt", "nested"])
def test_weights_are_read(factory, tmp_path, kind):
    state = {"1.weight": torch.rand(10, 64), "1.bias": torch.rand(10)}
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state if kind == "pt" else {"state_dict": state, "epoch": 3}, path)
    model = load_network(factory("net"), path)
    assert torch.equal(model.state_dict()["1.weight"], state["1.weight"])


class Payload:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return (print, ("this must not run",))


def test_weights_that_could_run_code_are_refused(factory, tmp_path, capsys):
    path = tmp_path / "evil.pt"
    torch.save({"1.weight": Payload()}, path)
    with pytest.raises(ConfigError, match="loading that could run code"):
        load_network(factory("net"), path)
    path.write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(ConfigError, match=r"evil\.pt"):
        load_network(factory("net"), path)
    assert "must not run" not in capsys.readouterr().out


def test_weights_that_do_not_fit_are_named(factory, tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"1.weight": torch.rand(10, 64)}, path)
    with pytest.raises(ConfigError, match=r"does not fit .*Missing key.*1\.bias"):
        load_network(factory("net"), path)
    torch.save([1, 2], path)
    with pytest.raises(ConfigError, match="no state dict"):
        load_network(factory("net"), path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_network(factory("net"), tmp_path / "absent.pt")
    (tmp_path / "torn.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_network(factory("net"), tmp_path / "torn.safetensors")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nets", "cannot be imported"),
        ("number", "gave a int"),
    ],
)
def test_what_is_no_factory_is_said(factory, name, text):
    with pytest.raises(ConfigError, match=text):
        load_network(factory(name), None)
    with pytest.raises(ConfigError, match="cannot be imported"):
        load_network("no.such.module:net", None)
    with pytest.raises(ConfigError, match="cannot be imported"):
        load_network("", None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("few", r"gives \(\d+, 3\) .* must give logits \(\d+, 10\)"),
        ("soft", "gives probabilities .* leave out the softmax"),
        ("color", r"does not take images \(\d+, 1, 8, 8\)"),
        ("Noisy", "other logits the second time"),
        ("Lost", "not finite"),
    ],
)
def test_a_network_whose_figure_would_mean_nothing_is_refused(factory, prepared, name, text):
    with pytest.raises(ConfigError, match=text):
        check_network(load_network(factory(name), None), prepared)


def test_dropout_and_batchnorm_are_evaluated_as_such(prepared):
    model = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    check_network(model.train(), prepared)
    assert model.training
