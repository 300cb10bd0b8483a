"""Control how the C library allocates memory during a measurement."""

import contextlib
import ctypes
import platform
from collections.abc import Iterator

from actcompare.machine.memory import _IS_MMAPPED, MIB

_MMAP_MAX, _TRIM_THRESHOLD, _MMAP_THRESHOLD = -4, -1, -3
"""M_MMAP_MAX, M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in glibc's malloc.h."""

_LARGE = 32 * MIB


_regimes: list[str] = []
"""Of the contexts that are open, the innermost last."""


@contextlib.contextmanager
def allocator(regime: str) -> Iterator[None]:
    """Set how this process's C library hands out large blocks, until the context ends.

    `warm` keeps freed memory and reuses it, as CUDA's caching allocator and jemalloc do. `fresh` is
    glibc's own policy as it stands in a process that has worked with large tensors: from 32 MiB on
    every block is new pages, which the kernel clears when they are first touched.

    Contexts nest: at its end each restores the regime of the one around it. After the outermost
    the process stays with the `fresh` policy for good: glibc cannot restore a threshold that it
    used to adjust by itself. Below 32 MiB blocks then come from the heap, where before they were
    new pages from 128 KiB on until the first large one was freed.

    Source: mallopt(3); the 32 MiB are glibc's DEFAULT_MMAP_THRESHOLD_MAX on 64 bits.
    """
    if not can_keep_warm():
        yield
        return
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    _regimes.append(regime)
    _set_thresholds(libc, regime)
    plugs = [] if regime == "warm" else _plug_holes(libc)
    try:
        yield
    finally:
        for plug in plugs:
            libc.free(ctypes.c_void_p(plug))
        _regimes.pop()
        _set_thresholds(libc, _regimes[-1] if _regimes else "fresh")


def can_keep_warm() -> bool:
    """Return whether the C library is glibc, whose reuse of memory can be set."""
    return platform.libc_ver()[0] == "glibc"


def _set_thresholds(libc: ctypes.CDLL, regime: str) -> None:
    keep = regime == "warm"
    libc.mallopt(_MMAP_MAX, 0 if keep else 65536)
    libc.mallopt(_TRIM_THRESHOLD, -1 if keep else 2 * _LARGE)
    if not keep:
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.malloc_trim(0)


def _plug_holes(libc: ctypes.CDLL) -> list[int]:
    """Allocate the large blocks kept while memory was warm, so that they are not reused."""
    plugs: list[int] = []
    while block := libc.malloc(ctypes.c_size_t(_LARGE)):
        header = ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value
        if header & _IS_MMAPPED:
            libc.free(ctypes.c_void_p(block))
            break
        plugs.append(block)
    return plugs
