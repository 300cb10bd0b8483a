"""Models of ill will: their own code changes all that it can reach, or fails.

    python -m tests.robustness.models [--count N] [--seed N]

Inspected, such a model and the process are the same before and after, to the bit, and there is an
answer or one clear line. Watched, its outputs, and all that it leaves, are as without a watch.
"""

import argparse
import contextlib
import copy
import io
import itertools
import pickle
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode
from torch.utils import _device

from actcompare import ActcompareError, inspect_model, watch

Part = Callable[[Any, Any], object]
"""What a model does with itself and its input."""


class Ill(nn.Module):
    """A net that does ill before each pass."""

    def __init__(self, net: nn.Sequential, parts: list[Part], *, copies: bool = False) -> None:
        super().__init__()
        self.net, self.parts = net, parts
        self.calls, self.list, self.kept = 0, [1], torch.zeros(3)
        self.cache: dict[str, Any] = {"a": 1}
        self.register_buffer("none", None)
        self.register_buffer("count", torch.zeros(3))
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        if not copies:  # torch cannot copy them
            self.register_buffer("csr", torch.eye(3).to_sparse_csr())
            nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
            self.register_buffer("nested", nested)
        self.register_buffer("ragged", torch.nested.nested_tensor(
            [torch.ones(2), torch.ones(3)], layout=torch.jagged))  # fmt: skip
        self.register_buffer("meta", torch.zeros(3, device="meta"))
        self.register_buffer("nan", torch.full((3,), float("nan")))
        self.register_buffer("wide", torch.zeros(1).expand(1000, 1000))
        self.register_buffer("whole", torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8))

    @property
    def first(self) -> Any:
        return next(m for m in self.net if isinstance(m, nn.Linear | nn.Conv1d | nn.Embedding))

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            part(self, x)
        return self.net(x)  # type: ignore[no-any-return]


class NoModes(Ill):
    def train(self, _: bool = True) -> Any:
        raise RuntimeError("no modes")

    def eval(self) -> Any:
        raise RuntimeError("no modes")


class Closed(Ill):
    """Its attributes fail in their own way."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_orig"):
            raise RuntimeError("closed")
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training" and "net" in self.__dict__.get("_modules", ()):
            raise RuntimeError("closed")
        super().__setattr__(name, value)


class Circular(Ill):
    def __init__(self, net: nn.Sequential, parts: list[Part], *, copies: bool = False) -> None:
        super().__init__(net, parts, copies=copies)
        self.root = self


CLASSES = (Ill, NoModes, Closed, Circular)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.drop = nn.Linear(6, 6), nn.Linear(6, 6), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(torch.sigmoid(self.a(x)) * F.mish(self.b(x)))  # type: ignore[no-any-return]


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.GELU())


def gated() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 6), Gated(), nn.BatchNorm1d(6), nn.SiLU(inplace=True))


def convolutions() -> nn.Sequential:
    act = nn.ReLU(inplace=True)
    return nn.Sequential(
        nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 4, 2), nn.BatchNorm1d(4), act,
        nn.Conv1d(4, 4, 1), act, nn.Flatten(), nn.Linear(8, 3), nn.PReLU(3),
    )  # fmt: skip


def tied() -> nn.Sequential:
    one, two = nn.Linear(6, 6), nn.Linear(6, 6)
    two.weight = one.weight
    return nn.Sequential(one, nn.Softplus(), two, nn.Tanh(), one, nn.RReLU())


KINDS = (mlp, gated, convolutions, tied)


# --- parts of ill will ---------------------------------------------------------------------------


class Stop(BaseException):
    """Neither an Exception nor an exit."""


class WordlessError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Passing(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **kwargs or {})


def _raise(error: BaseException) -> None:
    raise error


def _step(m: Ill, x: Tensor) -> None:
    with torch.enable_grad():
        m.net(x.clone()).square().sum().backward()
    torch.optim.SGD(m.net.parameters(), 0.1).step()


def _without_grad(change: Callable[[Ill], object]) -> Part:
    def part(m: Ill, _: Tensor) -> None:
        with torch.no_grad():
            change(m)

    return part


def _thread(m: Ill, x: Tensor) -> None:
    def work() -> None:
        with torch.no_grad(), contextlib.suppress(Exception):
            m.net(x.detach().clone())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _copies(m: Ill, x: Tensor) -> None:
    twin = copy.deepcopy(m.net)
    assert sum(len(each._forward_hooks) for each in twin.modules()) == sum(
        len(each._forward_hooks) for each in m.net.modules()
    )
    pickle.loads(pickle.dumps(m.net))
    torch.save(m.net, io.BytesIO())
    with torch.no_grad():
        twin(x.detach().clone())


def _relu_hook(*_: Any) -> None:
    F.relu(torch.ones(2, 2))


def _turn(m: Ill, _: Tensor) -> None:
    first = m.net._modules.pop("0")
    m.net._modules["0"] = first  # now the last


PARTS: dict[str, Part] = {
    "raises": lambda *_: _raise(RuntimeError("half-way\nand on")),
    "exits": lambda *_: sys.exit(0),
    "stops": lambda *_: _raise(Stop("hm")),
    "wordless": lambda *_: _raise(WordlessError()),
    "recurses": lambda m, x: m(x),
    "prints": lambda *_: print("ill"),
    "clamps .data": lambda m, _: m.first.weight.data.clamp_(-0.05, 0.05),
    "renorms": _without_grad(lambda m: m.first.weight.renorm_(2, 0, 0.1)),
    "to NaN": _without_grad(lambda m: m.first.weight.fill_(float("nan"))),
    "steps": _step,
    "new weight": lambda m, _: setattr(m.first, "weight", nn.Parameter(2 * m.first.weight.data)),
    "other .data": lambda m, _: setattr(m.first.weight, "data", 2 * m.first.weight.data),
    "frees memory": lambda m, _: m.first.weight.untyped_storage().resize_(0),
    "by numpy": lambda m, _: m.first.weight.detach().numpy().fill(0.5),
    "to half": lambda m, _: m.net.half(),
    "to double": lambda m, _: m.net.double(),
    "swaps tensors": lambda m, _: torch.utils.swap_tensors(  # type: ignore[no-untyped-call]
        m.first.bias, nn.Parameter(torch.ones_like(m.first.bias))
    ),
    "asks no gradient": lambda m, _: m.net.requires_grad_(False),
    "sets gradients": lambda m, _: setattr(m.first.weight, "grad", torch.ones_like(m.first.weight)),
    "zeroes gradients": lambda m, _: m.net.zero_grad(set_to_none=False),
    "weight hook": lambda m, _: m.first.weight.register_post_accumulate_grad_hook(id)
    if m.first.weight.requires_grad else None,
    "names weight": lambda m, _: setattr(m.first.weight, "name_of_mine", m.calls),
    "fills None": lambda m, _: setattr(m, "none", torch.ones(2)),
    "empties a buffer": lambda m, _: setattr(m, "count", None),
    "deletes a buffer": lambda m, _: m._buffers.pop("count", None),
    "counts in a buffer": lambda m, _: m.kept.add_(1),
    "new buffer": lambda m, _: m.register_buffer("found", torch.ones(2)),
    "not persistent": lambda m, _: m.register_buffer("nan", m.nan, persistent=False),
    "sparse": lambda m, _: m.sparse.mul_(2),
    "sparse in place": lambda m, _: m.sparse._values().mul_(2),
    "csr": lambda m, _: m.csr.values().mul_(2),
    "nested": lambda m, _: m.nested.mul_(2),
    "ragged": lambda m, _: m.ragged.values().mul_(2),
    "NaN": lambda m, _: m.nan.fill_(0),
    "quantized": lambda m, _: m.whole.copy_(torch.zeros(3)),
    "trains": lambda m, _: nn.Module.train(m) if not isinstance(m, Circular) else m.net.train(),
    "trains a part": lambda m, _: m.net.train(),
    "mode by hand": lambda m, _: setattr(m.net[1], "training", not m.net[1].training),
    "deletes a module": lambda m, _: delattr(m.net, "1") if hasattr(m.net, "1") else None,
    "adds a module": lambda m, _: m.net.append(nn.Tanh()),
    "replaces a module": lambda m, _: setattr(m.net, "1", nn.ELU()),
    "turns modules round": _turn,
    "hooks": lambda m, _: m.net.register_forward_hook(_relu_hook),
    "hooks a part": lambda m, _: m.first.register_full_backward_hook(lambda *_: None),
    "clears hooks": lambda m, _: m.net._forward_hooks.clear(),
    "global hook": lambda *_: nn.modules.module.register_module_forward_pre_hook(lambda *_: None),
    "clears global hooks": lambda *_: torch_module._global_forward_hooks.clear(),
    "Python's numbers": lambda *_: random.seed(random.random()),
    "numpy's numbers": lambda *_: np.random.seed(int(np.random.rand() * 100)),
    "torch's numbers": lambda *_: torch.manual_seed(int(torch.rand(()) * 100)),
    "default dtype": lambda *_: torch.set_default_dtype(torch.float64),
    "default device": lambda *_: torch.set_default_device("meta"),
    "gradients on": lambda *_: torch.set_grad_enabled(True),
    "gradients off": lambda *_: torch.set_grad_enabled(False),
    "deterministic": lambda *_: torch.use_deterministic_algorithms(True, warn_only=True),
    "threads": lambda *_: torch.set_num_threads(3),
    "precision": lambda *_: torch.set_float32_matmul_precision("medium"),
    "anomalies": lambda *_: torch.autograd.set_detect_anomaly(True),
    "autocast": lambda *_: torch.set_autocast_enabled("cpu", True),
    "cudnn": lambda *_: setattr(torch.backends.cudnn, "benchmark", True),
    "numpy's errors": lambda *_: np.seterr(divide="ignore", over="raise"),
    "a mode left": lambda *_: Passing().__enter__(),  # type: ignore[no-untyped-call]
    "another class": lambda m, _: setattr(m.net, "__class__", type("Other", (nn.Sequential,), {})),
    "another forward": lambda m, _: setattr(m.net, "forward", lambda x: F.gelu(x)),
    "attributes": lambda m, _: setattr(m, "calls", m.calls + 1),
    "a list": lambda m, _: m.list.append(m.calls),
    "new attribute": lambda m, x: setattr(m, "seen", x),
    "caches": lambda m, x: m.cache.update(x=x, b=m.cache),
    "copies": _copies,
    "thread": _thread,
    "overwrites its input": lambda _, x: x.data.zero_(),
    "vmap": lambda _, x: torch.func.vmap(lambda z: F.relu(F.gelu(z)))(x),
    "jvp": lambda _, x: torch.func.jvp(lambda z: F.gelu(z) + F.relu(z), (x,), (x,)),
    "watches itself": lambda m, _: watch(m).__enter__().__exit__(),
    "weak state": lambda m, _: m.load_state_dict(
        {k: v for k, v in m.state_dict().items() if k.startswith("net")}, strict=False
    ),
}  # fmt: skip


# --- what is compared ----------------------------------------------------------------------------


def picture(model: nn.Module, *, identities: bool) -> list[tuple[str, Any]]:
    """Describe all of a model and of the process: by its bytes, and optionally by who is who."""
    return [*_picture_of(model, identities), *_picture_of_process()]


def _picture_of(model: nn.Module, identities: bool) -> Iterator[tuple[str, Any]]:
    todo: list[tuple[str, Any]] = [("model", model)]
    seen: set[int] = set()
    while todo:
        path, thing = todo.pop()
        here = id(thing) if identities else None
        if isinstance(thing, nn.Module):
            yield path, (here, type(thing).__name__)
            parts = [(f"{path}.{name}", value) for name, value in vars(thing).items()]
        elif isinstance(thing, Tensor):
            yield path, (here, *_picture_of_tensor(thing, identities))
            parts = [(f"{path}.__dict__", vars(thing))] if not thing.is_nested else []
        elif isinstance(thing, dict):
            yield path, (here, [str(key) if identities else len(thing) for key in thing])
            parts = [(f"{path}[{i}]", value) for i, value in enumerate(thing.values())]
        elif isinstance(thing, list | tuple | set):
            yield path, (here, len(thing))
            parts = [(f"{path}[{i}]", value) for i, value in enumerate(thing)]
        else:
            yield path, here if here and not isinstance(thing, int | str) else type(thing).__name__
            continue
        if id(thing) not in seen:
            seen.add(id(thing))
            todo += parts


def _picture_of_tensor(t: Tensor, identities: bool) -> Iterator[Any]:
    yield from (t.dtype, str(t.device), t.layout, t.requires_grad)
    if t.layout is torch.sparse_coo:
        yield from (_bytes(t._indices()), _bytes(t._values()), t.shape)
    elif t.layout is torch.sparse_csr:
        yield from (_bytes(t.crow_indices()), _bytes(t.col_indices()), _bytes(t.values()), t.shape)
    elif t.is_nested:
        yield _bytes(t.values())
    elif not t.is_meta:
        yield from (t.shape, t.stride(), t.storage_offset(), _bytes(t))
        yield t.untyped_storage()._cdata if identities else None
    if t.is_leaf:
        yield None if t.grad is None else (id(t.grad) if identities else 0, _bytes(t.grad))
    yield len(t._backward_hooks or ())
    yield len(getattr(t, "_post_accumulate_grad_hooks", None) or ())


def _bytes(t: Tensor) -> bytes:
    return bytes(t.untyped_storage().tolist())  # type: ignore[no-untyped-call]


def _picture_of_process() -> Iterator[tuple[str, Any]]:
    yield "random", hash(random.getstate())
    yield "numpy", np.random.get_state()[1].tobytes()  # type: ignore[index]
    with torch._C.DisableTorchFunction():
        yield "torch", torch.get_rng_state().numpy().tobytes()
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    yield "device", context and str(context.device)
    for ask in (
        torch.get_default_dtype, torch.is_grad_enabled, torch.is_inference_mode_enabled,
        torch.get_num_threads, torch.are_deterministic_algorithms_enabled, torch.is_anomaly_enabled,
        torch.get_float32_matmul_precision, torch.is_deterministic_algorithms_warn_only_enabled,
    ):  # fmt: skip
        yield ask.__name__, ask()
    yield "autocast", torch.is_autocast_enabled("cpu")
    yield "cudnn", torch.backends.cudnn.benchmark
    yield "numpy's errors", np.geterr()
    yield "modes", [type(mode).__name__ for mode in _get_current_function_mode_stack()]  # type: ignore[no-untyped-call]
    for name, table in vars(torch_module).items():
        if name.startswith("_global_") and isinstance(table, dict):
            yield name, len(table)


def reset() -> None:
    """Bring the process back to its beginning, by hand."""
    while _get_current_function_mode_stack():  # type: ignore[no-untyped-call]
        _pop_mode()  # type: ignore[no-untyped-call]
    torch._GLOBAL_DEVICE_CONTEXT.device_context = None
    _device.CURRENT_DEVICE = None
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    torch.autograd.set_detect_anomaly(False)
    torch.set_autocast_enabled("cpu", False)
    torch.backends.cudnn.benchmark = False
    np.seterr(all="warn")
    for name, table in vars(torch_module).items():
        if name.startswith("_global_") and isinstance(table, dict):
            table.clear()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


# --- cases ---------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A model of ill will, and what is done with it."""

    kind: Callable[[], nn.Sequential]
    cls: type[Ill]
    parts: tuple[str, ...]
    entry: str

    def __str__(self) -> str:
        return f"{self.entry} {self.cls.__name__} {self.kind.__name__}: {', '.join(self.parts)}"

    def model(self) -> Ill:
        reset()
        parts = [PARTS[part] for part in self.parts]
        model = self.cls(self.kind(), parts, copies=self.entry == "swap")
        for module in model.net.modules():
            module.training = True
        model.net[-1].training = False
        for p in model.net.parameters():
            p.grad = torch.ones_like(p)
        model.net.register_forward_hook(_relu_hook)
        return model


ENTRIES = ("inspect", "swap", "float64", "watch", "train")


def cases(count: int, seed: int) -> Iterator[Case]:
    """Yield each part with each entry once, and then parts drawn at random."""
    draw = random.Random(seed)
    whole = list(itertools.product(PARTS, ENTRIES))
    draw.shuffle(whole)
    for i in range(count):
        parts: tuple[str, ...]
        if i < len(whole):
            parts, entry = (whole[i][0],), whole[i][1]
        else:
            parts, entry = tuple(draw.sample(list(PARTS), draw.randint(2, 4))), draw.choice(ENTRIES)
        yield Case(draw.choice(KINDS), draw.choice(CLASSES), parts, entry)


def fault(case: Case) -> str:
    """Return what is wrong in a case; empty if nothing is."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            inspects = case.entry not in ("watch", "train")
            return _fault_of_inspect(case) if inspects else _fault_of_watch(case)
        finally:
            reset()


def _batches() -> list[Tensor]:
    return list(torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(3)))


def _fault_of_inspect(case: Case) -> str:
    model, options = (
        case.model(),
        {"swap": {"swap": {"relu": "softplus"}}, "float64": {"dtype": "float64"}},
    )
    batches = _batches()
    before, kept = picture(model, identities=True), [x.clone() for x in batches]
    try:
        inspect_model(model, batches, **options.get(case.entry, {}))  # type: ignore[arg-type]
    except ActcompareError as error:
        if "\n" in str(error) or "bug" in str(error):
            return f"no clear line: {error}"
    except BaseException as error:
        return f"defect: {type(error).__name__}: {error}"
    if not all(map(torch.equal, batches, kept)):
        return "the samples changed"
    return _difference(before, picture(model, identities=True))


def _fault_of_watch(case: Case) -> str:
    ends = []
    for watched in (False, True):
        model = case.model()
        with watch(model) if watched else contextlib.nullcontext():
            said = [_pass(model, x, train=case.entry == "train") for x in _batches()]
        ends.append([("said", said), *picture(model, identities=False)])
    return _difference(*ends)


def _pass(model: Ill, x: Tensor, *, train: bool) -> Any:
    """Run a batch, and a step of training; return the output's bytes, or what was raised."""
    try:
        with torch.set_grad_enabled(train):
            out = model(x)
            if train:
                out.square().sum().backward()
                with torch.no_grad():
                    for p in model.net.parameters():
                        if p.grad is not None:
                            p.sub_(0.01 * p.grad)
    except BaseException as error:
        return type(error).__name__
    return type(out).__name__, out.requires_grad, _bytes(out)


def _difference(one: list[tuple[str, Any]], two: list[tuple[str, Any]]) -> str:
    was, now = dict(one), dict(two)
    for name in [*was, *now]:
        if was.get(name, "absent") != now.get(name, "absent"):
            return f"{name}: {was.get(name, 'absent')} -> {now.get(name, 'absent')}"[:400]
    return "" if list(was) == list(now) else "the order changed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    fell = 0
    for case in cases(arguments.count, arguments.seed):
        if why := fault(case):
            fell += 1
            print(f"{case}\n    {why}", flush=True)
    print(f"{arguments.count} models of ill will, seed {arguments.seed}: {fell} fell")
    sys.exit(bool(fell))


if __name__ == "__main__":
    main()
