"""The data sets and the own methods of two runs that become one."""

from __future__ import annotations

import pytest

from rayat.errors import DataError, StudyError
from rayat.own.parts import OwnParts
from rayat.runs.joined import joined_data, joined_parts


def entry(name="digits", checksum="a" * 16, split="s"):
    return {"name": name, "checksum": checksum, "split_hash": split}


def test_the_run_s_data_must_be_there_and_new_arms_may_bring_theirs():
    joined = joined_data([entry()], {"one": entry(), "two": entry(split="t")}, {"one"})
    assert joined == [entry(), entry(split="t")]
    with pytest.raises(DataError, match=r"'digits' has changed since.*expected checksum aaaaaaaaa"):
        joined_data([entry()], {"one": entry(checksum="b" * 16)}, {"one"})


def test_own_methods_may_be_added_and_none_may_have_changed(tmp_path):
    def own(**files):
        parts = [{"room": "attacks", "name": name, "class": f"{name}:A"} for name in files]
        return OwnParts(parts, {f"{name}.py": text.encode() for name, text in files.items()})

    held = own(mine="1").info()
    joined = joined_parts(tmp_path, held, own(mine="1", other="2"))["own_parts"]
    assert list(joined["files"]) == ["mine.py", "other.py"] and len(joined["parts"]) == 2
    assert joined_parts(tmp_path, held, own()) == held
    assert joined_parts(tmp_path, {}, own()) == {}
    with pytest.raises(StudyError, match=r"mine\.py, from which the run's own methods come, has"):
        joined_parts(tmp_path, held, own(mine="2"))
