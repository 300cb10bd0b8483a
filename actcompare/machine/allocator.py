"""Control how the C library allocates memory during a measurement."""

import contextlib
import ctypes
import platform
from collections.abc import Iterator

from actcompare.machine.memory import _IS_MMAPPED, MIB

_MMAP_MAX, _TRIM_THRESHOLD, _MMAP_THRESHOLD = -4, -1, -3
"""M_MMAP_MAX, M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in glibc's malloc.h."""

_LARGE = 32 * MIB


@contextlib.contextmanager
def allocator(regime: str) -> Iterator[None]:
    """Set how the C library allocates large blocks in this process while the context lasts.

    `warm` keeps freed memory and reuses it, as CUDA's caching allocator and jemalloc do. `fresh` is
    glibc's own policy in a process that has worked with large tensors: every block of 32 MiB or
    more gets new pages, which the kernel clears when they are first touched.

    Source: mallopt(3); 32 MiB is glibc's DEFAULT_MMAP_THRESHOLD_MAX on 64-bit systems.
    """
    if not can_keep_warm():
        yield
        return
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    _set_thresholds(libc, keep=regime == "warm")
    plugs = [] if regime == "warm" else _plug_holes(libc)
    try:
        yield
    finally:
        for plug in plugs:
            libc.free(ctypes.c_void_p(plug))
        _set_thresholds(libc, keep=False)


def can_keep_warm() -> bool:
    """Return whether the C library is glibc, whose reuse of memory can be set."""
    return platform.libc_ver()[0] == "glibc"


def _set_thresholds(libc: ctypes.CDLL, *, keep: bool) -> None:
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
