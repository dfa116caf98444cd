"""How much memory a call takes."""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def peak(call: Callable[[], object], device: str = "cpu") -> float:
    """Bytes that a call needs at most, above what is held before it, its result included.

    Of a GPU it is the memory that torch allocates; else this process's resident memory, which only
    Linux tells: NaN elsewhere.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = call()
        torch.cuda.synchronize(device)
        after = torch.cuda.max_memory_allocated(device)
        del result
        return float(after - before)
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if sys.platform != "linux":
        return float("nan")
    ctypes.CDLL(None).malloc_trim(0)  # freed memory that is kept would hide what a call takes
    try:
        reset.write_text("5")  # the peak so far becomes what is resident now
    except OSError:
        return float("nan")
    before = _kilobytes(status, "VmRSS")
    result = call()
    after = _kilobytes(status, "VmHWM")
    del result
    return 1024.0 * max(after - before, 0)


def _kilobytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])
