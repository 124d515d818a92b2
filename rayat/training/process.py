"""Settings of the process that trains, set afresh at the start of every trial."""

from __future__ import annotations

import ctypes

import torch

from rayat.errors import ConfigError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h


def prepare_process(threads: int, device: str = "cpu") -> None:
    """Set everything global that a trial depends on, so that nothing is left of the one before.

    On the CPU the same seed and thread count then give the same bits; on CUDA the fastest kernels
    are allowed, which may differ in the last bit from run to run.

    Args:
        threads: torch threads of this worker. device: that it trains on.
    """
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    torch.set_grad_enabled(True)
    torch.backends.cudnn.benchmark = True
    # Not `use_deterministic_algorithms`: that imports torch's compiler, 3 CPU-seconds a process.
    torch.set_deterministic_debug_mode("error" if torch.device(device).type == "cpu" else "default")
    # Deterministic mode fills every new tensor with NaN unless told not to.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    _keep_freed_memory()


def refuse_device(device: str) -> None:
    """Refuse a device that torch does not know or that is not there. Raises `ConfigError`."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"no device {device!r}: {str(error).splitlines()[0]}") from None


def _keep_freed_memory() -> None:
    """Let glibc reuse freed memory instead of handing it back: 6-14 % of a small net's step."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most glibc takes on 64 bits
    mallopt(M_TRIM_THRESHOLD, 1 << 30)
