"""A model and the process are left as they were, and every step of that is taken."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actcompare.errors import ActcompareError
from actcompare.machine import memory
from actcompare.models import state
from actcompare.models.places import module_paths
from actcompare.models.state import left_as_it_was


def whole_numbers() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


def sparse_rows() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.eye(3).to_sparse_csr()


def nested(layout: torch.layout) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)


@pytest.mark.parametrize(
    ("make", "change", "read"),
    [
        (lambda: torch.ones(3), lambda t: t.mul_(2), lambda t: t),
        (lambda: torch.full((3,), float("nan")), lambda t: t.fill_(1), lambda t: t.isnan()),
        (lambda: torch.zeros(1).expand(4, 4), lambda t: t[0, :1].fill_(1), lambda t: t),
        (lambda: torch.ones(3, dtype=torch.complex64).conj(), lambda t: t.mul_(1j), lambda t: t),
        (lambda: torch.eye(3).to_sparse(), lambda t: t.mul_(2), lambda t: t.to_dense()),
        (lambda: torch.eye(3).to_sparse(), lambda t: t._values().zero_(), lambda t: t.to_dense()),
        (sparse_rows, lambda t: t.values().mul_(2), lambda t: t.to_dense()),
        (lambda: nested(torch.strided), lambda t: t.mul_(2), lambda t: t.values()),
        (lambda: nested(torch.jagged), lambda t: t.values().mul_(2), lambda t: t.values()),
        (whole_numbers, lambda t: t.copy_(torch.zeros(3)), lambda t: t.int_repr()),
        (lambda: torch.eye(3).to_mkldnn(), lambda t: t.mul_(2), lambda t: t.to_dense()),
        (lambda: torch.ones(3), lambda t: t.resize_(7), lambda t: t),
        (lambda: torch.ones(3), lambda t: t.untyped_storage().resize_(0), lambda t: t),
        (lambda: torch.ones(3), lambda t: setattr(t, "data", torch.zeros(5)), lambda t: t),
        (lambda: torch.ones(3), lambda t: t.numpy().fill(7), lambda t: t),
    ],
)  # fmt: skip
def test_tensors_of_every_kind(
    make: Callable[[], Tensor], change: Callable[[Tensor], Any], read: Callable[[Tensor], Tensor]
) -> None:
    model, t = nn.Module(), make()
    model.register_buffer("t", t)
    before = read(t).clone()
    with left_as_it_was(model):
        change(t)
    assert model.t is t
    assert torch.equal(read(t), before)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "none", torch.ones(1)),
        lambda m: m.register_buffer("new", torch.ones(1)),
        lambda m: m.register_buffer("seen", m.seen, persistent=False),
        lambda m: delattr(m, "seen"),
        lambda m: m.fc.train(not m.fc.training),
        lambda m: setattr(m, "fc", nn.Linear(2, 2)),
        lambda m: delattr(m, "fc"),
        lambda m: m.add_module("more", nn.ReLU()),
        lambda m: m._modules.update(fc=m._modules.pop("fc")),
        lambda m: m.register_forward_hook(lambda *_: None),
        lambda m: m.fc.weight.register_hook(lambda g: g),
        lambda m: setattr(m.fc.weight, "grad", torch.ones(2, 2)),
        lambda m: (m.list.append(1), m.table.update(b=m), m.table["a"].add(3)),
        lambda m: setattr(m, "calls", 1),
        lambda m: setattr(m, "__class__", nn.Sequential),
        lambda m: m.__dict__.clear(),
    ],
)
def test_all_that_modules_hold(change: Callable[[Any], object]) -> None:
    model: Any = nn.Module()
    model.fc, model.act, model.calls = nn.Linear(2, 2), nn.ReLU(), 0
    model.list, model.table = [0], {"a": {1}}
    model.register_buffer("none", None)
    model.register_buffer("seen", torch.zeros(1))
    model.fc.weight.grad = gradient = torch.ones(2, 2)

    def picture() -> Any:
        return (
            type(model), list(vars(model)), [*model._modules.items()], [*model._buffers.items()],
            set(model._non_persistent_buffers_set), [m.training for m in model.modules()],
            len(model._forward_hooks), model.fc.weight._backward_hooks, model.calls,
            str((model.list, model.table)), model.fc.weight.grad is gradient,
        )  # fmt: skip

    before = picture()
    with left_as_it_was(model):
        assert model.fc.weight.grad is None
        change(model)
    assert picture() == before


@pytest.mark.parametrize(
    ("change", "ask"),
    [
        (lambda: random.random(), random.getstate),
        (lambda: np.random.rand(), lambda: str(np.random.get_state(legacy=False)["state"])),
        (lambda: torch.rand(1), lambda: torch.get_rng_state().tolist()),
        (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
        (lambda: torch.set_default_device("meta"), lambda: torch.ones(1).device),
        (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
        (lambda: torch.set_autocast_enabled("cpu", True), lambda: torch.is_autocast_enabled("cpu")),
        (
            lambda: torch.use_deterministic_algorithms(True, warn_only=True),
            torch.get_deterministic_debug_mode,
        ),
        (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
        (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
        (lambda: np.seterr(all="raise"), np.geterr),
        (lambda: torch.device("meta").__enter__(), lambda: torch._C._len_torch_function_stack()),
        (
            lambda: nn.modules.module.register_module_forward_hook(lambda *_: None),
            lambda: len(nn.modules.module._global_forward_hooks),
        ),
    ],
)
def test_settings_of_the_process(change: Callable[[], object], ask: Callable[[], Any]) -> None:
    before = ask()
    with left_as_it_was(nn.ReLU()):
        change()
        assert ask() != before
    assert ask() == before


def test_a_step_that_fails_skips_no_other_and_hides_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("cannot be set")

    monkeypatch.setattr(state, "_generators", lambda: [(random.getstate, fails)])
    model = nn.Linear(2, 2)
    weight = model.weight.detach().clone()

    def spoil() -> None:
        model.weight.data.zero_()
        torch.set_default_dtype(torch.float64)

    with pytest.raises(ActcompareError, match=r"back: Runtime.*cannot be"), left_as_it_was(model):
        spoil()
    assert torch.equal(model.weight, weight)
    assert torch.get_default_dtype() is torch.float32
    with pytest.raises(ZeroDivisionError) as caught, left_as_it_was(model):
        spoil()
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["RuntimeError: cannot be set"]
    assert torch.equal(model.weight, weight)
    assert torch.get_default_dtype() is torch.float32


def test_where_a_copy_does_not_fit_changed_weights_are_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "_LITTLE", 0)
    monkeypatch.setattr(memory, "free_memory", lambda _: 0)
    model = nn.Linear(2, 2)
    with left_as_it_was(model):
        model(torch.ones(1, 2))
    with pytest.raises(ActcompareError, match="too little memory"), left_as_it_was(model):
        model.weight.data.mul_(2)


def test_paths_are_torchs_and_end_where_modules_hold_themselves() -> None:
    act = nn.ReLU()
    model = nn.Sequential(nn.Sequential(act, nn.Linear(1, 1)), act)
    assert list(module_paths(model)) == list(model.named_modules(remove_duplicate=False))
    model.add_module("root", model)
    assert [path for path, _ in module_paths(model)] == ["", "0", "0.0", "0.1", "1"]
