"""What the processor says of itself: whether bf16 is native, emulated, or not known."""

from __future__ import annotations

import pytest

from rayat.host.machine import cpu_flags, native_bf16

X86 = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu sse2 avx2 {}\nbugs\t\t: spectre_v1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\nCPU implementer\t: 0x41\n"


@pytest.mark.parametrize(
    ("text", "native"),
    [
        (X86.format("f16c"), False),
        (X86.format("avx512f avx512_bf16"), True),
        (X86.format("amx_bf16 amx_tile"), True),
        (ARM.format("sve"), False),
        (ARM.format("sve bf16"), True),
        ("processor\t: 0\nmodel name\t: bf16\n", None),
        ("", None),
    ],
)
def test_bf16_is_native_where_the_flags_name_a_unit(tmp_path, text, native):
    (tmp_path / "cpuinfo").write_text(text)
    assert native_bf16(tmp_path / "cpuinfo") is native


def test_a_system_without_such_a_file_tells_nothing(tmp_path):
    assert cpu_flags(tmp_path / "none") == set()
    assert native_bf16(tmp_path / "none") is None
