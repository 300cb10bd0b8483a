"""Leave a model and the process as they were, to the bit, whatever the code of the model does."""

import contextlib
import random
import zlib
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import (
    TorchFunctionMode,
    _get_current_function_mode_stack,
    _pop_mode,
    _push_mode,
)

from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError
from actcompare.machine.memory import fits

Step = Callable[[], object]
"""Restores one thing."""

_DICTS = (dict, OrderedDict, defaultdict)

_CONTAINERS = (*_DICTS, list, set, deque)
"""Types whose contents are restored; subclasses, which a user may have changed, are not."""

_PARTS_OF_SPARSE = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}

_LITTLE = 2**26
"""Bytes of weights that are copied without asking whether memory suffices."""


@contextlib.contextmanager
def left_as_it_was(*models: nn.Module) -> Iterator[None]:
    """Restore models, generators of random numbers and settings of torch and numpy on exit.

    Of a model, all is restored that its modules hold in attributes, lists and dicts: submodules,
    weights, buffers, modes, hooks, gradients (None within the context) and Python values. Bytes
    of tensors are compared, and written only where they differ. This takes a copy of the weights
    in main memory; if that does not fit, their checksums are kept instead.

    Raises:
        ActcompareError: Something cannot be restored; everything else is.
    """
    failures: list[str] = []
    try:
        with contextlib.ExitStack() as undo:  # runs every step, even after an interrupt
            for step in _keep_process():
                undo.callback(_attempt, step, failures)
            for step in _keep_models(models):
                undo.callback(_attempt, partial(_without_autograd, step), failures)
            yield
    except BaseException as error:  # it goes on, with what failed noted
        for failure in failures:
            error.add_note(failure)
        raise
    if failures:
        raise ActcompareError(f"not everything could be put back: {'; '.join(failures)}")


def _attempt(step: Step, failures: list[str]) -> None:
    try:
        with torch._C.DisableTorchFunction():
            step()
    except Exception as error:  # a user's code may run, such as a tensor subclass's
        failures.append(describe(error))


def _without_autograd(step: Step) -> None:
    # Not around the settings of the process, some of which these contexts restore themselves.
    with torch.inference_mode(False), torch.no_grad():
        step()


def _keep_models(models: tuple[nn.Module, ...]) -> list[Step]:
    """Return what restores models, and torch's hooks for all modules; the last is to run first."""
    tables = [each for name, each in vars(torch_module).items() if name.startswith("_global_")]
    with torch._C.DisableTorchFunction():
        found = list(_held([*models, *tables]))
        tensors = [each for each in found if isinstance(each, Tensor)]
        steps = list(_keep_bytes(tensors))
        for tensor in tensors:
            with contextlib.suppress(Exception):  # a subclass that cannot be read
                steps.append(_keep_tensor(tensor))
        for each in found:
            if isinstance(each, nn.Module):
                steps += _keep_module(each)
            elif not isinstance(each, Tensor):
                steps.append(_keep_container(each))
    return steps


def _held(roots: list[Any]) -> Iterator[Any]:
    """Yield all modules, tensors and containers that others hold, each once."""
    seen, todo = {}, roots
    while todo:
        thing = todo.pop()
        kind = type(thing)  # `isinstance` would ask the object, which may be a user's
        parts: list[Any]
        if id(thing) in seen:
            continue
        if issubclass(kind, nn.Module):
            parts = [object.__getattribute__(thing, "__dict__")]
            if issubclass(kind, torch.jit.ScriptModule):  # its tables are not Python's
                parts += [*thing._modules.values(), *thing.parameters(), *thing.buffers()]
        elif issubclass(kind, Tensor):
            parts = [object.__getattribute__(thing, "__dict__"), *_parts(thing)]
        elif kind in _DICTS:
            parts = list(thing.values())
        elif kind in (*_CONTAINERS, tuple):
            parts = list(thing)
        else:
            continue
        seen[id(thing)] = thing
        if kind is not tuple:
            yield thing
        todo += parts


def _parts(tensor: Tensor) -> list[Tensor]:
    """Return the tensors that a sparse tensor, or one of a wrapping subclass, consists of."""
    with contextlib.suppress(Exception):  # a subclass that cannot be read
        if flatten := getattr(tensor, "__tensor_flatten__", None):
            return [getattr(tensor, name) for name in flatten()[0]]
        return [getattr(tensor, name)() for name in _PARTS_OF_SPARSE.get(tensor.layout, ())]
    return []


def _keep_module(module: nn.Module) -> Iterator[Step]:
    kind = type(module)

    def restore_class() -> None:
        if type(module) is not kind:
            object.__setattr__(module, "__class__", kind)

    yield restore_class
    if isinstance(module, torch.jit.ScriptModule):
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, value in [("training", module.training), *own]:
            yield partial(setattr, module, name, value)


def _keep_container(container: Any) -> Step:
    """Return what restores the contents of a container, in their order."""
    kept = list(container.items() if isinstance(container, dict) else container)

    def restore() -> None:
        now = list(container.items() if isinstance(container, dict) else container)
        if _identities(now) != _identities(kept):
            container.clear()
            (container.extend if isinstance(container, list | deque) else container.update)(kept)

    return restore


def _identities(items: list[Any]) -> list[Any]:
    return [tuple(map(id, item)) if type(item) is tuple else id(item) for item in items]


def _keep_tensor(tensor: Tensor) -> Step:
    """Return what restores a tensor's memory, shape and gradient; set the gradient aside."""
    alias, asks, leaf = tensor.data, tensor.requires_grad, tensor.is_leaf
    kind, attributes = type(tensor), tensor.__dict__
    tables = ("_backward_hooks", "_post_accumulate_grad_hooks")
    hooks = [(name, getattr(tensor, name), dict(getattr(tensor, name) or {})) for name in tables]
    gradient = tensor.grad if leaf else None
    if gradient is not None:
        tensor.grad = None  # moving the model would move it

    def restore() -> None:
        if type(tensor) is not kind or tensor.__dict__ is not attributes:  # by swap_tensors
            tensor.__class__, tensor.__dict__ = kind, attributes
        if tensor.layout is not torch.strided or _memory(tensor) != _memory(alias):
            tensor.data = alias
        if tensor.requires_grad != asks:
            tensor.requires_grad_(asks)
        if leaf and tensor.grad is not gradient:
            tensor.grad = gradient
        for name, table, kept in hooks:
            if getattr(tensor, name) is not table:
                setattr(tensor, name, table)
            if table is not None and table != kept:
                table.clear()
                table.update(kept)

    return restore


def _memory(tensor: Tensor) -> tuple[Any, ...]:
    """Return where a strided tensor lies, and how it is read."""
    if tensor.is_nested:
        return (tensor.data_ptr(), tensor.dtype)
    where = (tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.device)
    return (*where, tensor.dtype, tensor.shape, tensor.stride())


# --- bytes ---------------------------------------------------------------------------------------


def _keep_bytes(tensors: list[Tensor]) -> Iterator[Step]:
    """Yield what restores the memory of tensors, each once however many views there are."""
    memories = {}
    for tensor in tensors:
        if tensor.is_mkldnn:  # hides its memory
            yield partial(setattr, tensor, "data", tensor.clone())
        elif not tensor.is_meta and tensor.layout is torch.strided:
            with contextlib.suppress(RuntimeError):  # a subclass without any
                memory = tensor.untyped_storage()
                if memory.data_ptr():
                    memories[memory._cdata] = memory
    needed = sum(memory.nbytes() for memory in memories.values())
    copies = needed < _LITTLE or fits(needed)
    for memory in memories.values():
        yield (_keep_copy if copies else _keep_checksum)(memory)


def _bytes_of(memory: torch.UntypedStorage) -> Tensor:
    """Return the memory as whole numbers, whatever it stands for."""
    found = torch.empty(0, dtype=torch.uint8, device=memory.device).set_(memory)
    return found.view(torch.int64) if len(found) % 8 == 0 else found  # compares 4 times as fast


def _keep_copy(memory: torch.UntypedStorage) -> Step:
    copy, size = _bytes_of(memory).to("cpu", copy=True), memory.nbytes()

    def restore() -> None:
        if memory.nbytes() != size:
            memory.resize_(size)
        now = _bytes_of(memory)
        if not torch.equal(now, copy.to(now.device)):
            now.copy_(copy)

    return restore


def _keep_checksum(memory: torch.UntypedStorage) -> Step:
    def checksum() -> int:
        return zlib.crc32(_bytes_of(memory).cpu().numpy().data)

    before = checksum()

    def check() -> None:
        if checksum() != before:
            raise ActcompareError(
                "the model changes its own weights in forward, and there is too little memory for"
                " a copy of them: load them again"
            )

    return check


# --- the process ---------------------------------------------------------------------------------


def _keep_process() -> Iterator[Step]:
    for get, put in _generators():
        yield partial(put, get())
    yield _keep_modes()  # to run after the default device's, which is a mode
    for get, put in _switches():
        yield _keep_switch(get(), get, put)


def _generators() -> list[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Return what reads and sets the state of each generator of random numbers."""
    found: list[tuple[Any, Any]] = [
        (random.getstate, random.setstate),
        (np.random.get_state, np.random.set_state),
        (torch.get_rng_state, torch.set_rng_state),
    ]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found.append((torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all))
    if torch.backends.mps.is_available():
        found.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    return found


def _switches() -> Iterator[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Yield what reads and sets each setting that changes results."""
    yield torch.get_default_dtype, torch.set_default_dtype
    yield _default_device, torch.set_default_device
    yield torch.is_grad_enabled, torch._C._set_grad_enabled
    yield torch.get_num_threads, torch.set_num_threads
    yield torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    yield torch.is_anomaly_enabled, torch.set_anomaly_enabled
    yield torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled
    for device in ("cpu", "cuda"):
        yield (
            partial(torch.is_autocast_enabled, device),
            partial(torch.set_autocast_enabled, device),
        )
        yield partial(torch.get_autocast_dtype, device), partial(torch.set_autocast_dtype, device)
    for holder, name in (
        (torch.backends.cudnn, "enabled"),
        (torch.backends.cudnn, "benchmark"),
        (torch.backends.cudnn, "deterministic"),
    ):
        yield partial(getattr, holder, name), partial(setattr, holder, name)
    yield torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled
    yield np.geterr, lambda kept: np.seterr(**kept)


def _default_device() -> torch.device | None:
    """Return the device that torch.set_default_device has set, if it has."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _keep_switch(before: Any, get: Callable[[], Any], put: Callable[[Any], object]) -> Step:
    def restore() -> None:
        if get() != before:
            put(before)

    return restore


def _keep_modes() -> Step:
    """Return what restores the stack of function modes, if one was entered and not left."""
    before = function_modes()

    def restore() -> None:
        if list(map(id, function_modes())) != list(map(id, before)):
            set_function_modes(before)

    return restore


def function_modes() -> list[TorchFunctionMode]:
    """Return the function modes that are active in this thread; the last one sees a call first."""
    return list(_get_current_function_mode_stack())  # type: ignore[no-untyped-call]


def set_function_modes(modes: list[TorchFunctionMode]) -> None:
    """Replace the function modes that are active in this thread."""
    for _ in function_modes():
        _pop_mode()  # type: ignore[no-untyped-call]
    for mode in modes:
        _push_mode(mode)  # type: ignore[no-untyped-call]
