"""Run compiled models uncompiled while they are watched."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch


class _Uncompiled:
    """Runs compiled models uncompiled while any watch is active, in whatever order they end.

    torch's own context restores what it found, which may be another watch's.
    """

    def __init__(self) -> None:
        self._watches, self._is_set = 0, False
        self._stance = contextlib.ExitStack()

    def __enter__(self) -> None:
        self._watches += 1
        compiled = "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance")
        if compiled and not self._is_set:
            self._stance.enter_context(torch.compiler.set_stance("force_eager"))
            self._is_set = True

    def __exit__(self, *_: object) -> None:
        self._watches -= 1
        if not self._watches:
            self._is_set = False
            self._stance.close()


_UNCOMPILED = _Uncompiled()


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Run compiled models uncompiled, without torch's warning that their hooks run twice."""
    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    before = list(filters)
    warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
    added = filters[0]
    try:
        with _UNCOMPILED:
            yield
    finally:
        if added not in before and added in filters:  # only ours: others may have come meanwhile
            filters.remove(added)
