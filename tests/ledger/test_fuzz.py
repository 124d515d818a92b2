"""Bytes from nowhere: the readers answer every one of them with a run or with one sentence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FUZZ = """
import hashlib, json, os, random, resource, sys
from pathlib import Path
from rayat.errors import LedgerError
from rayat.ledger.log import LOG, read_log
from rayat.ledger.publish import MANIFEST, seal
from rayat.ledger.reader import read_run
from rayat.ledger.schema import TABLES

folder, tries = Path(sys.argv[1]), int(sys.argv[2])
read_run(folder)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
draw = random.Random(0)
log = str(LOG)
names = [MANIFEST, log, *(f"{table}.parquet" for table in TABLES)]
whole = {name: (folder / name).read_bytes() for name in names}

def mutant(data):
    data = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, how = draw.randrange(len(data) + 1), draw.randrange(5)
        some = bytes(draw.randrange(256) for _ in range(draw.randint(1, 16)))
        if how == 0:
            data[at : at + len(some)] = some
        elif how == 1:
            data[at:at] = some
        elif how == 2:
            del data[at : at + draw.randint(1, 64)]
        elif how == 3:
            data[at:at] = data[at : at + draw.randint(1, 200)]
        else:
            data[at : at + 4] = b"\\xff\\xff\\xff\\x7f"
    return bytes(data)

def vouch(name, data):
    # The manifest is right about the bytes: what an attacker would do.
    manifest = json.loads(whole[MANIFEST])
    manifest["files"][name] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["sha256"] = seal(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))

refused = read = 0
for number in range(tries):
    name = draw.choice(list(whole))
    data = mutant(whole[name])
    (folder / name).write_bytes(data)
    if name.endswith(".parquet"):
        vouch(name, data)
    try:
        if name == log:
            extent = read_log(folder / log, lambda record: None)
            refused += bool(extent.damage or extent.torn)
        else:
            read_run(folder)
            read += 1
    except LedgerError:
        refused += 1
    (folder / name).write_bytes(whole[name])
    (folder / MANIFEST).write_bytes(whole[MANIFEST])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"refused": refused, "read": read, "mb": (after - before) // 1024}))
"""
"""In a process of its own: a crash of a reader's native code is the parent's to see."""


@pytest.mark.slow
def test_whatever_the_bytes_a_reader_refuses_or_reads_and_never_dies(finished, size):
    tries = size(500, 100_000)
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(finished), str(tries)],
        capture_output=True,
        text=True,
        timeout=size(500, 3600),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    facts = json.loads(done.stdout)
    print(f"fuzz: {tries} files, 0 crashes, 0 hangs, {facts['mb']} MB more memory")
    assert facts["refused"] > tries / 4
    assert facts["mb"] < 500
