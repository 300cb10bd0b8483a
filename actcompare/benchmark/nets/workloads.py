"""One pass of a user's model: the work that is timed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actcompare.benchmark.records import Case
from actcompare.errors import ActcompareError
from actcompare.machine.stopwatch import Work
from actcompare.models.feed import Inputs

OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": partial(torch.optim.AdamW, weight_decay=0.0),
}
"""Optimizers of a training step. The learning rate is 0, so that every step does the same work."""

AUTOCAST = ("bfloat16", "float16")
"""Number formats in which a model runs by autocast, with weights in float32, as it is trained."""


def precision(case: Case) -> AbstractContextManager[object]:
    """Return the context of a pass: autocast for half precision."""
    if case.dtype in AUTOCAST:
        return torch.autocast(case.where.type, case.kind)
    return nullcontext()


def run_model(model: Callable[..., Any], inputs: Inputs, case: Case) -> Any:
    """Run a model once."""
    with precision(case):
        return model(*inputs.args, **inputs.kwargs)


def make_work(model: nn.Module, inputs: Inputs, case: Case, optimizer: str) -> Work:
    """Return a callable that does the pass of a case once.

    The loss is the mean square of the outputs, which costs next to nothing.

    Raises:
        ActcompareError: No output has a gradient.
    """
    called: Callable[..., Any] = model
    if case.mode == "compiled":
        called = torch.compile(model, dynamic=False)
    weights = [p for p in model.parameters() if p.requires_grad]

    def loss() -> Tensor:
        return loss_of(run_model(called, inputs, case))

    grad = partial(torch.autograd.grad, allow_unused=True)
    if case.pass_ == "forward":
        return lambda: run_model(called, inputs, case)
    if case.pass_ == "backward":
        return partial(grad, loss(), weights, retain_graph=True)
    if case.pass_ == "both":
        return lambda: grad(loss(), weights)
    update = OPTIMIZERS[optimizer](weights, lr=0.0)

    def step() -> None:
        loss().backward()  # type: ignore[no-untyped-call]
        update.step()
        update.zero_grad()

    return step


def loss_of(output: Any) -> Tensor:
    """Return the mean square of all tensors in a model's output that have a gradient.

    Raises:
        ActcompareError: There are none.
    """
    found = [t for t in _tensors(output) if t.requires_grad]
    if not found:
        raise ActcompareError("no output of the model has a gradient: only --pass forward can run")
    return torch.stack([t.float().square().mean() for t in found]).sum()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for each in output.values():
            yield from _tensors(each)
    elif isinstance(output, list | tuple):
        for each in output:
            yield from _tensors(each)


def saved_bytes(model: nn.Module, inputs: Inputs, case: Case) -> int | None:
    """Return the bytes that a pass keeps for backward, each storage once, without parameters."""
    if not case.needs_grad:
        return None
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}
    held: list[Tensor] = []  # so that no later tensor gets the memory of an earlier one

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        run_model(model, inputs, case)
    return sum(kept.values())
