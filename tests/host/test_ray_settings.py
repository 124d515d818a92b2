"""Ray's environment: set where Ray is started or joined, not by an import, never against a user."""

from __future__ import annotations

import os
import subprocess
import sys

from rayat.host.ray_settings import AUTH_MODE, SETTINGS, TOKEN, settle, settle_token

IMPORTS = """
import importlib, os, pkgutil
import rayat.api.verbs, rayat.orchestration
from rayat.host.ray_settings import AUTH_MODE, SETTINGS
for module in pkgutil.iter_modules(rayat.orchestration.__path__):
    importlib.import_module(f"rayat.orchestration.{module.name}")
print(*({AUTH_MODE, *SETTINGS} & set(os.environ)))
"""
LATE = """
from ray._raylet import AuthenticationMode, get_authentication_mode
from rayat.orchestration import cluster
assert get_authentication_mode() == AuthenticationMode.DISABLED

class Stop(Exception): ...

def start(*settings):
    raise Stop

cluster._start_local = start
try:
    with cluster.cluster():
        pass
except Stop:
    print(get_authentication_mode() == AuthenticationMode.TOKEN)
"""


def said(code: str, monkeypatch) -> str:
    for name in (AUTH_MODE, *SETTINGS):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_room_of_ray_sets_nothing(monkeypatch):
    assert said(IMPORTS, monkeypatch) == ""


def test_the_token_is_on_also_where_ray_was_imported_before(monkeypatch):
    assert said(LATE, monkeypatch) == "True"


def test_what_the_user_said_stays(monkeypatch):
    for name in (AUTH_MODE, *SETTINGS):
        monkeypatch.delenv(name, raising=False)
    name = next(iter(SETTINGS))
    monkeypatch.setenv(name, "mine")
    monkeypatch.setenv(AUTH_MODE, "disabled")
    settle()
    assert os.environ[name] == "mine"
    assert all(os.environ[other] == value for other, value in SETTINGS.items() if other != name)
    assert not settle_token()
    assert os.environ[AUTH_MODE] == "disabled"
    monkeypatch.delenv(AUTH_MODE)
    assert settle_token()
    assert os.environ[AUTH_MODE] == TOKEN
