"""Where a model's activations may be called: the paths of its modules."""

import re
from collections.abc import Iterator
from types import FunctionType, ModuleType

import torch
from torch import nn

from actcompare.activations.catalogue import CATALOGUE
from actcompare.activations.torch_calls import MODULES

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def module_paths(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every path of each module within a model; a module within itself has no path there.

    Reads the modules' own tables: a user's class may override `named_modules`, or fail in it.
    """
    todo: list[tuple[str, nn.Module, tuple[nn.Module, ...]]] = [("", model, ())]
    while todo:
        path, module, above = todo.pop()
        yield path, module
        around = (*above, module)
        children = [
            (f"{path}.{name}".lstrip("."), child, around)
            for name, child in module._modules.items()
            if child is not None and not any(child is each for each in around)
        ]
        todo += reversed(children)


def acting_paths(model: nn.Module) -> dict[nn.Module, list[str]]:
    """Return every path of each module within the model that may call an activation."""
    found: dict[nn.Module, list[str]] = {}
    for name, module in module_paths(model):
        if _may_act(module):
            parts = [part for part in name.split(".") if part not in _WRAPPERS]
            found.setdefault(module, []).append(".".join(parts))
    return found


def _may_act(module: nn.Module) -> bool:
    """Return whether a module may call an activation; most leaves of torch.nn do not."""
    kind = type(module)
    if kind.__name__ == "OptimizedModule":  # runs the module inside it
        return False
    of_torch = kind.__module__.startswith("torch.nn.modules.")
    return (
        not of_torch
        or kind in MODULES
        or any(True for _ in module.children())
        or isinstance(module, nn.RNNBase | nn.RNNCellBase)
    )


def opaque_modules(model: nn.Module) -> dict[str, str]:
    """Return the paths of modules that cannot be watched, with the reasons."""
    found: dict[str, str] = {}
    for path, module in module_paths(model):
        if isinstance(module, torch.jit.ScriptModule):
            if not any(path.startswith(f"{outer}.") or outer == "(model)" for outer in found):
                why = "scripted: torch runs it without Python; watch the original module"
                found[path or "(model)"] = why
        elif isinstance(module, nn.DataParallel) and len(module.device_ids or ()) > 1:
            found[path or "(model)"] = "its replicas run in threads: watch its .module"
    return found


def scripted_functions(module: nn.Module) -> list[str]:
    """Return the functions from torch.jit.script that a module's code names, and that activate."""
    names = {entry.name for entry in CATALOGUE}
    found: dict[str, None] = {}
    for kind in type(module).__mro__:
        if kind.__module__.startswith("torch.nn."):
            break
        for method in vars(kind).values():
            if not isinstance(method, FunctionType):
                continue
            used = method.__code__.co_names
            held = {name: method.__globals__.get(name) for name in used} | vars(module)
            for thing in [*held.values()]:
                if isinstance(thing, ModuleType):
                    held |= {name: getattr(thing, name, None) for name in used}
            for name, function in held.items():
                if isinstance(function, torch.jit.ScriptFunction):
                    called = re.findall(r"aten::(\w+)", str(function.inlined_graph))
                    if names & {each.rstrip("_") for each in called}:
                        found[name] = None
    return [*found]
