"""The work that one timed call does: one pass of an activation over the tensors of a case."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from actcompare.activations.derivatives import Function, build_elementwise
from actcompare.activations.spec import Activation
from actcompare.benchmark.records import Case
from actcompare.errors import ActcompareError
from actcompare.machine.memory import SAFE_SHARE, last_level_cache, peak_allocation
from actcompare.machine.stopwatch import Work
from actcompare.models.simple_net import SimpleNet
from actcompare.text import in_bytes

STEP_INPUTS, STEP_OUTPUTS, STEP_BATCH = 64, 10, 128
"""The SimpleNet of `--pass step`: the inputs and classes of the digits, and the batch size."""

MOST_BUFFERS = 65536
"""With more tensors than this, it is their Python objects that would miss the cache."""


@dataclass(frozen=True)
class Buffers:
    """The tensors of a case, shared by all candidates."""

    x: list[Tensor]
    grad: list[Tensor]
    """The gradient dL/da that a backward pass starts from."""
    copies: list[Tensor]
    """The destinations of `copy_`."""
    kept: list[object]
    """Results held until their buffer comes round again, so that new ones get other memory."""
    turn: Iterator[int]
    """Index of the next buffer; shared, so that no candidate reads what another has just cached."""


def make_buffers(case: Case, seed: int) -> Buffers:
    """Make the tensors of a case; the same seed gives the same numbers."""
    x = _input(case, seed)
    size = case.buffers()
    inputs = [_laid_out(x, case.layout) for _ in range(size)]
    for leaf in inputs:
        leaf.requires_grad_(case.needs_grad)
    generator = torch.Generator().manual_seed(seed + 1)
    grad = [
        torch.randn(case.shape, generator=generator).to(case.where, case.kind)
        for _ in range(size if case.needs_grad else 0)
    ]
    copies = [torch.zeros(case.shape, dtype=case.kind, device=case.where) for _ in range(size)]
    return Buffers(inputs, grad, copies, [None] * size, itertools.cycle(range(size)))


def _input(case: Case, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if case.input == "normal":
        x = torch.randn(case.shape, generator=generator)
    elif case.input == "uniform":
        x = torch.rand(case.shape, generator=generator).mul_(2).sub_(1)
    else:
        limits = torch.finfo(case.kind)
        low, high = math.log(limits.smallest_normal * limits.eps), math.log(limits.tiny)
        x = torch.rand(case.shape, generator=generator).mul_(high - low).add_(low)
    return x.to(case.where, case.kind)


def _laid_out(x: Tensor, layout: str) -> Tensor:
    """Copy a tensor into new memory, contiguous or with a stride of two elements."""
    if layout == "contiguous":
        return x.clone()
    wide = torch.zeros((*x.shape[:-1], 2 * x.shape[-1]), dtype=x.dtype, device=x.device)
    return wide[..., ::2].copy_(x)


def build_function(activation: Activation, case: Case) -> Function:
    """Return the activation as a function, compiled if the case asks for it.

    Raises:
        ActcompareError: The activation fails or is not elementwise.
    """
    function = build_elementwise(activation, case.kind, case.where)
    if case.pass_ == "step":  # the net is compiled as a whole
        return function
    if isinstance(function, nn.Module):  # Module.__call__ alone takes about 1 us
        function = function.forward
    if case.mode == "eager":
        return function
    compiled: Function = torch.compile(function, dynamic=False)
    return compiled


def make_work(function: Function, case: Case, buffers: Buffers, seed: int) -> Work:
    """Return a callable that does the pass once, on the next buffer."""
    if case.pass_ == "step":
        return _training_step(function, case, seed)
    grad_of = torch.autograd.grad
    x, grad, kept = buffers.x, buffers.grad, buffers.kept
    if len(x) == 1:
        (x0,) = x
        if case.pass_ == "forward":
            return partial(function, x0)
        (g0,) = grad
        if case.pass_ == "backward":
            return partial(grad_of, function(x0), x0, g0, retain_graph=True)
        return lambda: grad_of(function(x0), x0, g0)
    turn = buffers.turn
    y = [function(x) for x in x] if case.pass_ == "backward" else []

    def work() -> None:
        i = next(turn)
        if case.pass_ == "forward":
            kept[i] = function(x[i])
        elif case.pass_ == "backward":
            kept[i] = grad_of(y[i], x[i], grad[i], retain_graph=True)
        else:
            kept[i] = grad_of(function(x[i]), x[i], grad[i])

    return work


def make_copy(case: Case, buffers: Buffers) -> Work:
    """Return a callable that copies the input with `copy_` under the conditions of the case."""
    x, copies, turn = [x.detach() for x in buffers.x], buffers.copies, buffers.turn
    if case.memory == "fresh":
        return lambda: torch.empty_like(copies[0]).copy_(x[next(turn)])
    if len(x) == 1:
        return partial(copies[0].copy_, x[0])

    def copy() -> None:
        i = next(turn)
        copies[i].copy_(x[i])

    return copy


def _training_step(function: Function, case: Case, seed: int) -> Work:
    """Return a training step: forward, cross-entropy, backward and SGD.

    The learning rate is 0, so that every step does the same work.
    """
    generator = torch.Generator().manual_seed(seed)
    batch, hidden = case.shape
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        net: nn.Module = SimpleNet(STEP_INPUTS, hidden, STEP_OUTPUTS, function)
    net = net.to(case.where, case.kind)
    x = torch.randn(batch, STEP_INPUTS, generator=generator).to(case.where, case.kind)
    target = torch.randint(STEP_OUTPUTS, (batch,), generator=generator).to(case.where)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    forward = torch.compile(net, dynamic=False) if case.mode == "compiled" else net

    def step() -> None:
        nn.functional.cross_entropy(forward(x), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def traffic(function: Function, case: Case, buffers: Buffers) -> int | None:
    """Return the bytes that the pass must read and write; None for a training step.

    The forward pass reads the input and writes the output. The backward pass reads the gradient and
    the tensors saved for backward, and writes a gradient.
    """
    if case.pass_ == "step":
        return None
    if case.pass_ == "forward":
        return 2 * case.nbytes
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        function(buffers.x[0])
    backward = 2 * case.nbytes + sum(saved.values())
    return backward if case.pass_ == "backward" else backward + 2 * case.nbytes


def subnormal_share(function: Function, case: Case, buffers: Buffers) -> float:
    """Return the share of subnormal numbers among the results, or the gradients if larger."""
    if case.pass_ == "step":
        return 0.0
    x = buffers.x[0].detach().flatten()[:65536].clone().requires_grad_(case.needs_grad)
    out = function(x)
    results = [out.detach()]
    if case.needs_grad:
        results += torch.autograd.grad(out, x, torch.ones_like(out))
    tiny = torch.finfo(case.kind).tiny
    shares = [((r != 0) & (r.abs() < tiny)).float().mean().item() for r in results]
    return max(shares)


def check_memory(case: Case, peaks: Sequence[float], free: int) -> None:
    """Check that a case fits into free memory, before any of its tensors is allocated.

    Args:
        case: The case.
        peaks: `bytes_per_element` of each activation.
        free: Free memory in bytes.

    Raises:
        ActcompareError: The case does not fit; the message names a size that would.
    """
    buffers = case.buffers()
    if buffers > MOST_BUFFERS:
        least = math.ceil(2 * last_level_cache(case.where) / MOST_BUFFERS / case.kind.itemsize)
        raise ActcompareError(
            f"--cache cold at {case.size:,} elements needs a cycle of {buffers:,} tensors, which is"
            f" too many: use {least:,} elements or more"
        )
    need = memory_needed(case, peaks)
    if need > SAFE_SHARE * free:
        what, amount = ("hidden", case.shape[-1]) if case.pass_ == "step" else ("size", case.size)
        fits = int(amount * SAFE_SHARE * free / need)
        raise ActcompareError(
            f"{what} {amount:{',' if amount < 1e15 else '.3g'}} needs about {in_bytes(need)} on"
            f" {case.device}, but only {in_bytes(free)} is free: {what} {fits:,} would fit"
        )


def memory_needed(case: Case, peaks: Sequence[float]) -> int:
    """Return the bytes that a case needs, given the `bytes_per_element` of its activations."""
    item = case.kind.itemsize
    if case.pass_ == "step":
        weights = 2 * (STEP_INPUTS + STEP_OUTPUTS) * case.shape[-1] * item * len(peaks)
        return weights + 8 * case.nbytes
    strided = 2 if case.layout == "strided" else 1
    plain = case.layout == "contiguous" and case.input == "normal"
    own = strided + 1 + case.needs_grad + (case.cache == "cold")
    of_buffers = case.buffers() * item * own * (1 if plain else 2)  # and those of the plain case
    graphs = case.buffers() * sum(peaks) if case.pass_ == "backward" else 0
    drawing = 4 * strided  # numbers are drawn as float32 first
    return int((of_buffers + graphs + max(peaks, default=0) + drawing) * case.size)


def bytes_per_element(activation: Activation, dtype: str, device: str, kind: str) -> float:
    """Measure the bytes that a call allocates per element, on a small tensor.

    If the activation fails, two numbers per element are assumed.
    """
    small = Case(device, dtype, (4096,), kind, "eager", "hot", "warm", "contiguous", "normal")
    try:
        buffers = make_buffers(small, 0)
        work = make_work(build_function(activation, small), small, buffers, 0)
        with torch.set_grad_enabled(small.needs_grad):
            work()
            peak = peak_allocation(work, small.where)
    except Exception:  # reported when the activation itself is measured
        peak = None
    extra = small.kind.itemsize if kind == "backward" else 0
    return (peak / 4096 if peak else 2 * small.kind.itemsize) + extra


def refuse_in_place(function: Function, case: Case, label: str) -> None:
    """Refuse an activation that modifies its input, which other candidates use too.

    Raises:
        ActcompareError: The activation modifies its input.
    """
    x = torch.linspace(-3, 3, 64).to(case.where, case.kind)
    before = x.clone()
    with torch.no_grad():
        function(x)
    if not torch.equal(x, before):
        raise ActcompareError(
            f"{label} modifies its input in place, and the others would be timed on other input:"
            " return a new tensor"
        )
