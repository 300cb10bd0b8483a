"""Short measurements of real functions: what is true of every one, however long it takes."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from actcompare import CATALOGUE, UsageError, bench
from actcompare.activations.spec import parse, parse_all
from actcompare.benchmark import measure as measuring
from actcompare.benchmark import records, workloads
from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.plan import Settings, make_plan
from actcompare.benchmark.records import COPY, Case
from actcompare.benchmark.workloads import bytes_per_element, check_memory, make_buffers
from actcompare.errors import ActcompareError
from actcompare.machine.allocator import can_keep_warm
from actcompare.machine.stopwatch import stopwatch_for

ALL = [entry.spec for entry in CATALOGUE]
QUICK: dict[str, Any] = {"time_limit": 0.02, "size": 256}


@pytest.fixture(autouse=True)
def on_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs, no round is disturbed; measurements aside are short."""
    monkeypatch.setattr(measuring, "ASIDE_LIMIT", 0.02)
    quiet = lambda device: replace(stopwatch_for(device), waited=None)  # noqa: E731
    monkeypatch.setattr(measuring, "stopwatch_for", quiet)


def case(**changes: Any) -> Case:
    ordinary: dict[str, Any] = {
        "device": "cpu",
        "dtype": "float32",
        "shape": (1000,),
        "pass_": "forward",
        "mode": "eager",
        "cache": "hot",
        "memory": "warm",
        "layout": "contiguous",
        "input": "normal",
    }
    return Case(**ordinary | changes)


def rows(benchmark: Benchmark) -> list[dict[str, Any]]:
    columns = benchmark.columns()
    return [
        dict(zip(columns, record, strict=True)) for record in zip(*columns.values(), strict=True)
    ]


@pytest.mark.parametrize("kind", ["forward", "backward", "both", "step"])
def test_every_activation_can_be_timed(kind: str) -> None:
    size: dict[str, Any] = {"hidden": 16} if kind == "step" else {"size": 256}
    benchmark = bench(ALL, passes=kind, time_limit=0.05, **size)
    assert benchmark.failures() == []
    found = rows(benchmark)
    assert [row["activation"] for row in found] == ALL
    for row in found:
        assert 0 < row["q1_s"] <= row["median_s"] <= row["q3_s"]
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["verdict"] in {"baseline", "faster", "slower", "same", "unclear"}
        assert row["peak_bytes"] >= 4 * 256
        assert row["noise_floor"] >= 0
        assert (row["copy_share"] is None) == (kind == "step")
    assert [row["verdict"] == "baseline" for row in found] == [True] + [False] * (len(ALL) - 1)


def test_every_combination_is_a_case_and_has_a_row() -> None:
    benchmark = bench(
        dtype=["float32", "bfloat16"],
        shape=[(4, 8), (100,)],
        passes=["forward", "backward"],
        layout=["contiguous", "strided"],
        input=["normal", "uniform", "tail"],
        time_limit=0.01,
    )
    assert len(benchmark.measurements) == 2 * 2 * 2 * 2 * 3
    assert len(benchmark.frame()) == 2 * len(benchmark.measurements)
    assert {row["shape"] for row in rows(benchmark)} == {"4x8", "100"}
    assert {row["size"] for row in rows(benchmark)} == {32, 100}


def test_defaults_are_three_sizes_of_two_passes_and_training_steps() -> None:
    both = parse_all(["relu", "softplus"])
    lone = [(kind, (size,)) for kind in ("forward", "both") for size in (2**10, 2**16, 2**23)]
    steps = [("step", (128, hidden)) for hidden in (64, 1024)]
    cases = make_plan(both, Settings()).cases
    assert [(case.pass_, case.shape) for case in cases] == lone + steps
    assert {case.pass_ for case in make_plan(both, Settings(size=64)).cases} == {"forward", "both"}
    assert {case.pass_ for case in make_plan(both, Settings(shape=(4, 4))).cases} == {
        "forward",
        "both",
    }


def test_the_bytes_of_a_pass_are_those_it_must_move() -> None:
    n = 4 * 256
    moved = {
        kind: [c.traffic_bytes for c in bench(passes=kind, **QUICK).measurements[0].costs]
        for kind in ("forward", "backward", "both")
    }
    # relu saves its result, softplus its input: one tensor each
    assert moved == {"forward": [2 * n] * 2, "backward": [3 * n] * 2, "both": [5 * n] * 2}


def test_the_peak_is_what_a_call_holds() -> None:
    def three_at_once(x: Tensor) -> Tensor:
        a = x * 2
        b = a + 1
        return b * a

    benchmark = bench(["relu", three_at_once], passes="forward", **QUICK)
    assert [row["peak_bytes"] for row in rows(benchmark)] == [1024, 3 * 1024]


def test_the_copy_runs_in_the_same_rounds() -> None:
    (measurement,) = bench(passes="forward", **QUICK).measurements
    assert measurement.timings is not None
    assert measurement.timings.labels == ("0", "1", COPY)
    assert measurement.timings.seconds.shape[1] == 4


def test_an_activation_against_itself_is_allowed() -> None:
    found = rows(bench(["relu", "relu"], passes="forward", **QUICK))
    assert [row["activation"] for row in found] == ["relu", "relu"]


@pytest.mark.parametrize("act", ["relu", torch.nn.ReLU(), torch.nn.functional.relu])
def test_a_module_is_called_as_a_plain_function_is(act: Any) -> None:
    """Else its own call, a microsecond, would pass for the activation's cost."""
    (activation,) = parse_all(act)
    function = workloads.build_function(activation, case())
    assert not isinstance(function, torch.nn.Module)


def test_what_fails_is_told_and_the_rest_is_measured() -> None:
    def fails(_: Tensor) -> Tensor:
        raise ZeroDivisionError("by design")

    def reshapes(x: Tensor) -> Tensor:
        return x[:1]

    def only_float64(x: Tensor) -> Tensor:
        if x.dtype != torch.float64:
            raise TypeError("float64 alone")
        return x * 2

    benchmark = bench(
        ["relu", fails, reshapes, only_float64, "softplus"],
        dtype=["float32", "float64"],
        passes="forward",
        **QUICK,
    )
    verdicts = {
        (row["activation"], row["dtype"]): row["verdict"] == "failed" for row in rows(benchmark)
    }
    failed = {key for key, value in verdicts.items() if value}
    assert failed == {
        ("fails", "float32"),
        ("fails", "float64"),
        ("reshapes", "float32"),
        ("reshapes", "float64"),
        ("only_float64", "float32"),
    }
    text = "\n".join(benchmark.failures())
    for words in ("by design", "not elementwise", "float64 alone"):
        assert words in text


def test_without_a_baseline_nothing_is_claimed() -> None:
    def fails(_: Tensor) -> Tensor:
        raise ZeroDivisionError("by design")

    benchmark = bench([fails, "relu"], passes="forward", **QUICK)
    assert {row["verdict"] for row in rows(benchmark)} == {"failed"}
    assert any("the baseline fails failed" in text for text in benchmark.failures())


@pytest.mark.parametrize("hidden", [False, True])
def test_what_writes_into_its_input_is_refused_and_spoils_nothing(hidden: bool) -> None:
    lowest: list[float] = []

    def in_place(x: Tensor) -> Tensor:
        return (x.data if hidden else x).relu_() if not x.requires_grad else x * 1

    def note(x: Tensor) -> Tensor:
        lowest.append(x.detach().min().item())
        return x * 1

    benchmark = bench(["relu", in_place, note], passes="forward", **QUICK)
    assert [bool(cost.error) for cost in benchmark.measurements[0].costs] == [False, True, False]
    assert "in place" in benchmark.failures()[0]
    assert max(lowest[-10:]) < 0


def test_what_fails_half_way_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    time_ = measuring._time
    begun: list[int] = []

    def begin(*arguments: Any) -> Any:
        begun.append(1)
        return time_(*arguments)

    def tires(x: Tensor) -> Tensor:
        if len(begun) == 1:
            begun.append(2)
            raise ZeroDivisionError("tired")
        return x * 1

    monkeypatch.setattr(measuring, "_time", begin)
    benchmark = bench(["relu", tires], passes=["forward", "both"], **QUICK)
    assert [row["verdict"] == "failed" for row in rows(benchmark)] == [True, True, False, False]
    assert "tired" in benchmark.failures()[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 0}, "size must be 1 or more, not 0"),
        ({"size": [5, -1]}, "size must be 1 or more, not -1"),
        ({"shape": (3, 0)}, "length of a shape must be 1 or more, not 0"),
        ({"passes": "sideways"}, "pass 'sideways' is not one of forward"),
        ({"passes": ()}, "no pass given"),
        ({"mode": "slow"}, "mode 'slow'"),
        ({"input": "odd"}, "input 'odd'"),
        ({"passes": "both", "hidden": 4}, "--pass step"),
        ({"passes": "step", "size": 4}, "--hidden"),
        ({"passes": "step", "layout": "strided"}, "omit --layout"),
        ({"device": "tpu"}, "device 'tpu'"),
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"time_limit": 0}, "time limit"),
        ({"precision": math.nan}, "precision"),
        ({"margin": -1}, "margin"),
        ({"threads": 0}, "threads"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**70}, "seed"),
        ({"activations": []}, "no activation"),
    ],
)
def test_bad_requests(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bench(**wrong)


def test_nothing_is_allocated_for_a_size_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(measuring, "make_buffers", lambda *a: made.append(a))
    with pytest.raises(ActcompareError, match=r"size 1e\+18 needs about .* would fit"):
        bench(size=10**18)
    assert not made


@pytest.mark.parametrize("kind", ["forward", "backward", "both", "step"])
@pytest.mark.parametrize("cache", ["hot", "cold"])
def test_the_size_that_is_named_fits(kind: str, cache: str) -> None:
    free = 2**30
    peaks = [bytes_per_element(parse(act), "float32", "cpu", kind) for act in ("relu", "softplus")]
    shape = (128, 10**9) if kind == "step" else (10**9,)
    with pytest.raises(ActcompareError, match="would fit") as refused:
        check_memory(case(pass_=kind, shape=shape, cache=cache), peaks, free)
    fits = int(str(refused.value).rsplit(" would fit", 1)[0].split()[-1].replace(",", ""))
    assert fits > 10**4
    if cache == "hot":  # cold, fewer elements are more buffers
        small = (128, fits) if kind == "step" else (fits,)
        check_memory(case(pass_=kind, shape=small), peaks, free)


def test_running_out_of_memory_names_a_size() -> None:
    def hungry(x: Tensor) -> Tensor:
        if len(x) > 100_000:
            torch.empty(2**50)
        return x * 1

    benchmark = bench(["relu", hungry], passes="forward", size=200_000, time_limit=0.02)
    assert "hungry ran out of memory at size 200,000" in benchmark.failures()[0]
    assert "try size 100,000" in benchmark.failures()[0]


def test_no_compiler_leaves_the_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    class InvalidCxxCompilerError(RuntimeError):
        pass

    def without_compiler(_: Any, **__: Any) -> Any:
        def fails(_: Tensor) -> Tensor:
            raise InvalidCxxCompilerError("No working C++ compiler found")

        return fails

    monkeypatch.setattr(torch, "compile", without_compiler)
    benchmark = bench(mode=["compiled", "eager"], passes="forward", **QUICK)
    assert [row["verdict"] == "failed" for row in rows(benchmark)] == [True, True, False, False]
    assert "install g++" in benchmark.failures()[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch's compiler uses its own
def test_compiled_functions_are_timed_and_their_compiling_apart() -> None:
    # softsign is the quickest of all to compile
    benchmark = bench("softsign", mode="compiled", passes="forward", **QUICK)
    assert not benchmark.failures()
    (row,) = rows(benchmark)
    assert row["compile_s"] > 100 * row["median_s"]
    assert row["mode"] == "compiled"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_step_and_backward_of_many_like_functions() -> None:
    """The compiler's limit on versions of one function must not leave some of them eager."""
    acts = [f"softplus:beta={beta}" for beta in range(1, 11)]
    backends: list[str] = []
    compile_ = torch.compile

    def count(function: Any, **options: Any) -> Any:
        def backend(graph: Any, _: Any) -> Any:
            backends.append("compiled")
            return graph.forward

        return compile_(function, backend=backend, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", count)
        benchmark = bench(acts, mode="compiled", passes="forward", **QUICK)
    assert not benchmark.failures()
    assert len(backends) >= len(acts)
    assert all(cost.compile_s for cost in benchmark.measurements[0].costs)


def test_a_run_leaves_torch_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    bench(passes=["forward", "step"], hidden=4, threads=1, **QUICK)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)


def test_threads_are_recorded() -> None:
    assert bench(threads=1, passes="forward", **QUICK).environment.threads == 1


def test_what_is_done_is_handed_over_case_by_case() -> None:
    seen: list[Benchmark] = []
    whole = bench(passes=["forward", "both"], keep=seen.append, **QUICK)
    assert [len(b.measurements) for b in seen] == [0, 1, 2]
    assert seen[-1] is whole


# --- the tensors of a case -----------------------------------------------------------------------


def test_the_seed_decides_the_numbers() -> None:
    one, same, other = (make_buffers(case(), seed).x[0] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_inputs_are_what_they_are_called(dtype: str) -> None:
    normal, uniform, tail = (
        make_buffers(case(dtype=dtype, input=kind, shape=(10_000,)), 0).x[0]
        for kind in ("normal", "uniform", "tail")
    )
    assert normal.double().std().item() == pytest.approx(1, rel=0.05)
    assert -1 <= uniform.min() < -0.9
    assert 0.9 < uniform.max() <= 1
    result = torch.exp(tail.double())
    tiny = torch.finfo(tail.dtype).tiny
    assert ((result < 1.01 * tiny) & (result > 0.2 * tiny * torch.finfo(tail.dtype).eps)).all()


@pytest.mark.parametrize("shape", [(1000,), (10, 100), (2, 3, 4)])
def test_strided_holds_the_same_numbers(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "last_level_cache", lambda _: 10_000)
    monkeypatch.setattr(workloads, "last_level_cache", lambda _: 10_000)
    plain = make_buffers(case(shape=shape), 0).x[0]
    strided = make_buffers(case(shape=shape, layout="strided", cache="cold"), 0)
    assert all(torch.equal(x, plain) and not x.is_contiguous() for x in strided.x)


def test_cold_buffers_exceed_the_cache_and_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "last_level_cache", lambda _: 10_000)
    monkeypatch.setattr(workloads, "last_level_cache", lambda _: 10_000)
    cold = case(cache="cold")
    buffers = make_buffers(cold, 0)
    assert len({x.data_ptr() for x in buffers.x}) == len(buffers.x) == 5
    assert sum(x.nbytes for x in buffers.x) >= 2 * 10_000
    seen: list[int] = []

    def note(x: Tensor) -> Tensor:
        seen.append(x.data_ptr())
        return x * 2

    work = workloads.make_work(note, cold, buffers, 0)
    for _ in range(10):
        work()
    assert seen == [x.data_ptr() for x in buffers.x] * 2
    assert len({id(y) for y in buffers.kept}) == 5


def test_what_one_candidate_read_is_cold_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """All candidates, and the copy, go through the buffers in one order."""
    monkeypatch.setattr(workloads, "last_level_cache", lambda _: 40_000)
    cold = case(cache="cold")
    buffers = make_buffers(cold, 0)
    seen: list[int] = []

    def note(x: Tensor) -> Tensor:
        seen.append(x.data_ptr())
        return x * 2

    works = [workloads.make_work(note, cold, buffers, 0) for _ in range(3)]
    for work in works * 7:
        work()
    assert seen == ([x.data_ptr() for x in buffers.x] * 2)[: len(seen)]


def test_cold_is_refused_where_bookkeeping_would_be_measured() -> None:
    with pytest.raises(ActcompareError, match="is too many: use"):
        bench(size=1, cache="cold")


@pytest.mark.parametrize("cache", ["hot", "cold"])
@pytest.mark.parametrize("kind", ["forward", "backward", "both"])
def test_a_pass_computes_what_it_says(kind: str, cache: str) -> None:
    one = case(pass_=kind, shape=(2**16,), cache=cache)
    buffers = make_buffers(one, 0)
    work = workloads.make_work(torch.nn.functional.softplus, one, buffers, 0)
    result: Any = work()
    if cache == "cold":
        result = buffers.kept[0]
    x = buffers.x[0].detach()
    if kind == "forward":
        assert torch.equal(result, torch.nn.functional.softplus(x))
    else:
        assert torch.allclose(result[0], buffers.grad[0] * torch.sigmoid(x), atol=1e-6)


def test_a_training_step_can_be_repeated_for_ever() -> None:
    """Weights stay as they are, so that every round does the same work."""
    seen: list[Tensor] = []

    def note(x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        return torch.relu(x)

    one = case(pass_="step", shape=(128, 8))
    step = workloads.make_work(note, one, make_buffers(one, 0), 0)
    for _ in range(3):
        step()
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


@pytest.mark.skipif(not can_keep_warm(), reason="memory regimes are a matter of glibc")
def test_fresh_memory_is_new_pages_and_warm_is_not() -> None:
    faults = []
    for memory in ("fresh", "warm", "fresh"):
        benchmark = bench("relu", memory=memory, passes="forward", size=2**23, time_limit=0.05)
        faults.append(benchmark.measurements[0].costs[0].page_faults)
    assert faults[1] < 100
    assert min(faults[0], faults[2]) >= 2**25 / 2**21  # at the least: pages may be of 2 MiB


def test_subnormal_results_are_seen() -> None:
    (measurement,) = bench(passes="forward", input="tail", **QUICK).measurements
    relu, softplus = measurement.costs
    assert relu.subnormal_share == 0
    assert softplus.subnormal_share > 0.9
    assert softplus.over_normal is not None
    assert softplus.over_contiguous is None


def test_orders_are_the_seeds() -> None:
    orders = []
    for seed in (1, 1, 2):
        timings = bench(passes="forward", seed=seed, **QUICK).measurements[0].timings
        assert timings is not None
        orders.append(timings.order)
    alike = min(map(len, orders))
    assert np.array_equal(orders[0][:alike], orders[1][:alike])
    assert not np.array_equal(orders[0][:alike], orders[2][:alike])


def test_a_users_file_is_measured(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import torch\ndef f(x):\n    return torch.sin(x)\n")
    assert not bench(["relu", f"{tmp_path}/mine.py:f"], passes="both", **QUICK).failures()


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["forward", "backward", "both", "step"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_activation_on_cuda(kind: str, dtype: str) -> None:
    size: dict[str, Any] = {"hidden": 64} if kind == "step" else {"size": 2**20}
    benchmark = bench(ALL, device="cuda", dtype=dtype, passes=kind, time_limit=0.2, **size)
    assert benchmark.failures() == []
    (measurement,) = benchmark.measurements
    assert all(c.peak_bytes and c.peak_bytes >= 2**20 for c in measurement.costs) or kind == "step"
    assert any(cost.graph_s is not None for cost in measurement.costs)


@pytest.mark.cuda
def test_large_sizes_take_the_time_of_the_captured_graph() -> None:
    (measurement,) = bench(device="cuda", passes="forward", size=2**26).measurements
    assert measurement.timings is not None
    for i, cost in enumerate(measurement.costs):
        assert cost.graph_s == pytest.approx(measurement.timings.per_call(i)[1], rel=0.1)


@pytest.mark.cuda
def test_a_gpu_that_is_too_small_names_the_size() -> None:
    with pytest.raises(ActcompareError, match=r"on cuda, where .* would fit"):
        bench(device="cuda", size=10**13)
