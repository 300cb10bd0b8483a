"""Measure beside a running model: calls that no watch sees, and that cannot harm the run."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import _disable_current_modes

from actcompare.activations.slopes import FROM_INPUT, slope_by
from actcompare.units.statistics import slopes


class _Thread(threading.local):
    """Whether this thread is measuring, which no watch is to see."""

    measuring = False


_THREAD = _Thread()


class Aside:
    """A context of calls of torch that no watch sees, outside of inference mode.

    It is entered with every call that matters: a generator's context would take 3 times as long.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed

    def __enter__(self) -> None:
        _THREAD.measuring = True
        self._plain = torch._C.DisableTorchFunction()
        self._plain.__enter__()
        # A mode of the user's is not to see what is measured.
        self._dispatch = torch._C._len_torch_dispatch_stack() > 0
        if self._dispatch:
            self._no_modes = _disable_current_modes()
            self._no_modes.__enter__()
        self._inference = torch.is_inference_mode_enabled()
        if self._inference:
            self._normal = torch.inference_mode(False)
            self._normal.__enter__()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if self._inference:
            self._normal.__exit__(None, None, None)
        if self._dispatch:
            self._no_modes.__exit__(None, None, None)
        self._plain.__exit__(None, None, None)
        _THREAD.measuring = False
        if isinstance(error, Exception):  # whatever fails with tensors of a kind unknown to us
            self._failed(error)
            return True
        return False


def unwatched() -> bool:
    """Return whether no watch is to see calls now.

    This thread is measuring, or torch records its calls: torch.jit.trace or torch.export, whose
    graphs would contain what is measured.
    """
    return (
        _THREAD.measuring
        or torch._C._get_tracing_state() is not None
        or torch.compiler.is_exporting()
    )


def slope_of(
    function: Callable[[Tensor], Tensor],
    z: Tensor,
    name: str = "",
    given: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return f'(z), with tensors saved as they are: not by torch.utils.checkpoint, or a user.

    Args:
        function: f.
        z: Its input.
        name: Its name, if it is of the catalogue.
        given: The parameters that it was called with.
    """
    z = plain(z)
    kernel = FROM_INPUT.get(name)
    if kernel is not None:
        return slope_by(kernel, z, given or {})
    with saved_tensors_hooks(_same, _same):
        return slopes(function, z.clone() if z.is_inference() else z)[1]


def plain(z: Tensor) -> Tensor:
    """Return the tensor.

    Raises:
        TypeError: It is of a kind that cannot be measured.
    """
    if torch._C._functorch.is_functorch_wrapped_tensor(z):
        raise TypeError("called within torch.func, such as vmap")
    if z.is_nested or z.is_meta or z.layout is not torch.strided:
        raise TypeError("a nested, sparse or meta tensor")
    return z


def _same(t: Tensor) -> Tensor:
    return t
