"""Which files travel with a module."""

from __future__ import annotations

import pytest

from rayat.errors import StudyError
from rayat.own.sources import files_of


def write(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def test_imports_are_followed_into_functions_and_packages(tmp_path):
    write(
        tmp_path,
        start="import a\nimport json\nimport torch\nfrom rayat import config\n",
        a="def f():\n    from pack.inner import x\n",
        pack__inner="import .b\n",  # not even Python: its imports are unknown, it travels
        pack__other="import c\n",
        c="import start\n",
        torch="",
        json="",  # Python's own comes first
        d="",
    )
    found = files_of("start", tmp_path / "start.py", tmp_path)
    assert set(found) == {"start.py", "a.py", "pack/inner.py", "pack/other.py", "c.py", "torch.py"}


def test_a_file_may_be_imported_under_another_name(tmp_path):
    write(tmp_path, mine="import a", a="")
    found = files_of("rayat_study_mine", tmp_path / "mine.py", tmp_path)
    assert found == {"rayat_study_mine.py": tmp_path / "mine.py", "a.py": tmp_path / "a.py"}


def test_compiled_code_does_not_travel(tmp_path):
    write(tmp_path, start="import pack", pack__a="")
    (tmp_path / "pack" / "fast.so").write_bytes(b"\x7fELF")
    with pytest.raises(StudyError, match=r"package 'pack' .* holds compiled code \(fast.so\)"):
        files_of("start", tmp_path / "start.py", tmp_path)
