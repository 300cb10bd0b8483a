"""Find modules of a user's that are one activation as a whole, whatever they compute it from.

Such as GELU written with tanh: its units are judged by its own value and slope, not by tanh's.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from actcompare.activations.catalogue import CATALOGUE
from actcompare.activations.spec import parse
from actcompare.activations.torch_calls import MODULES
from actcompare.models.places import scripted_functions
from actcompare.models.state import left_as_it_was
from actcompare.models.watching.bindings import Calls

_GRID, _REACH = 128, 12.0
"""Points, and their range, on which a module is tried."""

_VARIANTS = ("gelu:approximate=tanh",)
"""Activations of the catalogue that are looked for besides those with default parameters."""

_NEAR = 1e-4
"""Largest difference from a function of the catalogue, relative to 1 + |value|."""


class Whole(Calls):
    """A leaf module that is an activation: its name, and its function."""

    def __init__(self, use: str, function: Callable[[Tensor], Tensor], known: bool) -> None:
        super().__init__()
        self.use, self.function, self.known = use, function, known
        """`known`: whether the function is torch's own, which leaves the module alone."""
        self.name = use.partition(":")[0] if known else ""
        self.given = dict(parse(use).parameters) if known else {}


def may_be_whole(module: nn.Module) -> bool:
    """Return whether a module may be one activation: a leaf that is not torch's own."""
    return (
        type(module) not in MODULES
        and not type(module).__module__.startswith("torch.nn.modules.")
        and not any(True for _ in module.children())
        and not isinstance(module, torch.jit.ScriptModule)
    )


def whole_of(module: nn.Module, z: Tensor) -> Whole | None:
    """Return the activation that a leaf module is; None if it is none.

    It is one if it maps a tensor to one of the same shape, each element by itself, and not by a
    straight line. The module is called a few times, and left as it was.

    Args:
        module: The module.
        z: An input of it, for its dtype, device and number of axes.
    """
    probed, dtype = _in_float32(module, z)
    x = torch.linspace(-_REACH, _REACH, _GRID, dtype=torch.float64).to(z.device, dtype)
    x = x.view(*[1] * (z.dim() - 1), -1)
    try:
        with left_as_it_was(module), torch.no_grad(), _no_autocast(z.device):
            tries = (x.clone(), x.flip(-1), x[..., :9].clone())  # it may overwrite them
            y, turned, part = map(probed.forward, tries)
        if not _same_elements(x, y, turned, part):
            return None
    except (Exception, SystemExit):  # it takes other inputs, or fails: it is judged by its parts
        return None
    found = _in_catalogue(x, y)
    if found is not None:
        if _only_calls(probed, found, x):
            return None  # the call is seen by itself
        return Whole(found, _torch_function(found, z), known=True)
    return Whole(type(module).__name__, module.forward, known=False)


def _in_float32(module: nn.Module, z: Tensor) -> tuple[nn.Module, torch.dtype]:
    """Return a module that computes in float32, if it can: half precision is too coarse."""
    if z.dtype not in (torch.float16, torch.bfloat16):
        return module, z.dtype
    if not any(True for _ in (*module.parameters(), *module.buffers())):
        return module, torch.float32
    try:
        return copy.deepcopy(module).float(), torch.float32
    except (Exception, SystemExit):  # a user's code
        return module, z.dtype


def _no_autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, enabled=False)


def _only_calls(module: nn.Module, spec: str, x: Tensor) -> bool:
    """Return whether a module does nothing but call torch's function of that name."""
    with _Operations() as ran, left_as_it_was(module), torch.no_grad():
        module.forward(x.clone())
    visible = not scripted_functions(module)
    return visible and [name.rstrip("_") for name in ran.names] == [spec.partition(":")[0]]


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that notes the names of operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def _same_elements(x: Tensor, y: object, turned: object, part: object) -> bool:
    """Return whether a function is elementwise and not straight, from its values."""
    if not all(isinstance(each, Tensor) for each in (y, turned, part)):
        return False
    assert isinstance(y, Tensor)
    assert isinstance(turned, Tensor)
    assert isinstance(part, Tensor)
    if y.shape != x.shape or turned.shape != x.shape or part.shape != x[..., :9].shape:
        return False
    near = 16 * torch.finfo(x.dtype).eps
    if not torch.allclose(y, turned.flip(-1), near, near, equal_nan=True):
        return False
    if not torch.allclose(y[..., :9], part, near, near, equal_nan=True):
        return False
    at, values = x.double().flatten(), y.double().flatten()
    line = values[0] + (values[-1] - values[0]) / (at[-1] - at[0]) * (at - at[0])
    return bool((values - line).abs().max() > 1e-2 * values.abs().max())


def _in_catalogue(x: Tensor, y: Tensor) -> str | None:
    """Return the SPEC of the function of the catalogue that has these values."""
    for spec in (*(entry.spec for entry in CATALOGUE), *_VARIANTS):
        made = parse(spec).build(torch.float64, torch.device("cpu"))
        with torch.no_grad():
            expected = made(x.double().cpu())
        off = (y.double().cpu() - expected).abs() / (1 + expected.abs())
        if bool((off <= max(_NEAR, 4 * torch.finfo(x.dtype).eps)).all()):
            return spec
    return None


def _torch_function(spec: str, z: Tensor) -> Callable[[Tensor], Tensor]:
    if spec == "relu":
        return functional.relu
    return parse(spec).build(z.dtype, z.device)
