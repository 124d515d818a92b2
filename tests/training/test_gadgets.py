"""Files that would run code, hundreds for each reader of rayat: none runs, each is refused."""

from __future__ import annotations

import builtins
import contextlib
import io
import itertools
import os
import pathlib
import pickle
import runpy
import subprocess
import zipfile
from collections import OrderedDict

import pytest
import torch
from torch import nn

from rayat.data.cifar import read_pickle
from rayat.errors import ConfigError, DataError, LedgerError
from rayat.evaluation.foreign import load_network
from rayat.training import checkpoints


class Gadget:
    """Unpickles by calling what it was given."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def calls(marker):
    """Return calls, each of which makes the folder or file `marker`."""
    code = f"__import__('os').mkdir({marker!r})"
    script = pathlib.Path(marker).parent / "script.py"
    script.write_text(code)
    return [
        Gadget(os.mkdir, marker),
        Gadget(os.system, f"mkdir {marker}"),
        Gadget(subprocess.call, ["mkdir", marker]),
        Gadget(builtins.eval, code),
        Gadget(builtins.exec, code),
        Gadget(builtins.open, marker, "w"),
        Gadget(pathlib.Path.touch, pathlib.Path(marker)),
        Gadget(runpy.run_path, str(script)),
        Gadget(pickle.loads, pickle.dumps(Gadget(os.mkdir, marker))),
    ]


# Where a gadget hides: also in the arguments of what a reader of weights must call itself.
PLACES = {
    "alone": lambda gadget: gadget,
    "state": lambda gadget: {"1.weight": gadget, "data": gadget, "optimizer": gadget},
    "nested": lambda gadget: {"state_dict": {"1.weight": [(gadget,)]}},
    "storage": lambda gadget: Gadget(torch._utils._rebuild_tensor_v2, gadget, 0, (1,), (1,)),
    "ordered": lambda gadget: Gadget(OrderedDict, [["1.weight", gadget]]),
    "key": lambda gadget: [{"a": 1}, gadget, {"b": gadget}],
}
PROTOCOLS = range(5)


def files(tmp_path):
    """Yield each file's bytes as a pickle; what it makes is `tmp_path / "ran"`."""
    marker = str(tmp_path / "ran")
    for call, place, protocol in itertools.product(calls(marker), PLACES.values(), PROTOCOLS):
        yield pickle.dumps(place(call), protocol=protocol)


def zipped(data):
    """Return what `torch.save` would write, with another pickle in it."""
    written = io.BytesIO()
    torch.save({}, written)
    made = io.BytesIO()
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, data if name.endswith("data.pkl") else old.read(name))
    return made.getvalue()


def clear(tmp_path):
    """Return whether something ran, and undo it."""
    marker = tmp_path / "ran"
    if marker.is_dir():
        marker.rmdir()
        return True
    ran = marker.exists()
    marker.unlink(missing_ok=True)
    return ran


def test_every_gadget_would_run(tmp_path):
    ran = 0
    for data in files(tmp_path):
        with contextlib.suppress(Exception):  # what it is hidden in may not bear its value
            pickle.loads(data)
        ran += clear(tmp_path)
    assert ran == len(list(files(tmp_path))) == 270


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["pickle", "zip"])
def test_no_weights_from_elsewhere_run(tmp_path, monkeypatch, form):
    (tmp_path / "gadget_net.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Linear(4, 2))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path, refused, ran = tmp_path / "weights.pt", 0, 0
    for data in files(tmp_path):
        path.write_bytes(data if form == "pickle" else zipped(data))
        with pytest.raises(ConfigError, match=r"weights\.pt"):
            load_network("gadget_net:net", path)
        refused, ran = refused + 1, ran + clear(tmp_path)
    print(f"gadgets as weights ({form}): {refused} refused, {ran} ran")
    assert (refused, ran) == (270, 0)


def test_no_checkpoint_runs_even_where_its_sums_are_right(tmp_path, small, monkeypatch):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    row = {"epoch": 1, "val_robust_acc": 0.1}
    refused = ran = 0
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # 270 times three files
    for data in files(tmp_path):
        monkeypatch.setattr(checkpoints, "_bytes", lambda state, data=data: zipped(data))
        checkpoints.save(tmp_path, "last", small(), [row], states)
        with pytest.raises(LedgerError, match=r"state\.pt"):
            checkpoints.load(tmp_path, "last", small())
        refused, ran = refused + 1, ran + clear(tmp_path)
    print(f"gadgets as checkpoints: {refused} refused, {ran} ran")
    assert (refused, ran) == (270, 0)


def test_no_file_of_cifar_runs(tmp_path):
    path, refused, ran = tmp_path / "data_batch_1", 0, 0
    for data in files(tmp_path):
        path.write_bytes(data)
        with pytest.raises(DataError, match="data_batch_1"):
            read_pickle(path, ["data"])
        refused, ran = refused + 1, ran + clear(tmp_path)
    print(f"gadgets as CIFAR: {refused} refused, {ran} ran")
    assert (refused, ran) == (270, 0)
