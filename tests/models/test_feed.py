"""Files and loaders as batches, one after the other, and what of them goes into a model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from actcompare.errors import ActcompareError, UsageError
from actcompare.models.feed import (
    cut,
    open_batches,
    parse_shape,
    prepare,
    random_batches,
    samples_of,
    select,
)

pytestmark = pytest.mark.usefixtures("in_tmp")
X = np.random.default_rng(0).normal(size=(20, 3, 2))


def whole(source: str, size: int = 7, keys: list[str] | None = None) -> Tensor:
    parts = list(open_batches(source, size, keys or []))
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    return torch.cat(parts)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ">f4", "i8", "u1", "?"])
def test_arrays_come_as_they_were_written(dtype: str) -> None:
    array = (3 * X).astype(dtype)
    np.save("x.npy", array)
    np.savez("x.npz", X=array, y=np.zeros(20))
    np.savez_compressed("one.npz", inputs=array)
    np.save("turned.npy", np.asfortranarray(array))
    tensor = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    torch.save(tensor, "x.pt")
    save_file({"X": tensor, "y": torch.zeros(20)}, "x.safetensors")
    for source in ("x.npy", "x.npz", "one.npz", "turned.npy", "x.pt", "x.safetensors"):
        found = whole(source)
        assert found.numpy().tolist() == array.tolist()
        assert found.shape == (20, 3, 2)
    assert torch.equal(whole("x.npz", keys=["X"]), whole("x.npz"))


def test_several_arrays_go_in_by_name() -> None:
    np.savez("two.npz", ids=np.arange(20), mask=np.ones((20, 2)), y=np.zeros(3))
    first, *_ = open_batches("two.npz", 6, ["ids", "mask"])
    assert {name: tuple(part.shape) for name, part in first.items()} == {
        "ids": (6,),
        "mask": (6, 2),
    }
    torch.save({"ids": torch.arange(20), "mask": torch.ones(20, 2)}, "two.pt")
    first, *_ = open_batches("two.pt", 6, ["ids", "mask"])
    assert set(first) == {"ids", "mask"}
    torch.save((torch.arange(20), torch.ones(20, 2)), "pair.pt")
    ids, mask = next(iter(open_batches("pair.pt", 6)))
    assert (len(ids), len(mask)) == (6, 6)


def test_tables_give_their_columns() -> None:
    Path("t.csv").write_text("a, b,name\n1,2.5,x\n3,4,y\n", encoding="utf-8")
    Path("bare.csv").write_text("1,2\n3,4\n", encoding="utf-8")
    Path("t.tsv").write_text("a\tb\n1\t2\n", encoding="utf-8")
    pd.DataFrame({"a": [1, 3], "b": [2.5, 4]}).to_parquet("t.parquet")
    assert whole("t.csv", keys=["b", "a"]).tolist() == [[2.5, 1], [4, 3]]
    assert whole("t.parquet", keys=["b", "a"]).tolist() == [[2.5, 1], [4, 3]]
    assert whole("bare.csv").tolist() == [[1, 2], [3, 4]]
    assert whole("t.tsv").tolist() == [[1, 2]]
    with pytest.raises(ActcompareError, match="row 2, column 'name': 'x' is not a number"):
        whole("t.csv")
    with pytest.raises(UsageError, match="no column 'c': it has a, b, name"):
        whole("t.csv", keys=["c"])


@pytest.mark.parametrize("size", [1, 64, 10_000])
def test_a_long_table_comes_in_batches(size: int) -> None:
    x = np.arange(20_002.0).reshape(-1, 2)
    pd.DataFrame(x, columns=["a", "b"]).to_csv("t.csv", index=False)
    assert np.array_equal(whole("t.csv", size), x)


def refused(name: str) -> str:
    """A file that holds no samples, by its name."""
    if name == "number.npy":
        np.save(name, np.array(1.0))
    elif name == "lengths.npz":
        np.savez(name, a=np.ones(3), b=np.ones(4))
    elif name == "lengths.pt":
        torch.save({"a": torch.ones(3), "b": torch.ones(4)}, name)
    elif name == "weights.pt":
        torch.save({"a": torch.ones(3), "b": 5}, name)
    return name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number.npy", "single number"),
        ("lengths.npz", "different lengths"),
        ("lengths.pt", "different lengths"),
        ("weights.pt", "does not hold tensors"),
        ("missing.npy", "No such file"),
        ("data.xlsx", "name a .npz"),
    ],
)
def test_what_holds_no_samples_is_told(name: str, message: str) -> None:
    keys = ["a", "b"] if "lengths" in name else []
    with pytest.raises(ActcompareError, match=message):
        list(open_batches(refused(name), 7, keys))


def test_a_users_own_batches() -> None:
    Path("loader.py").write_text(
        "import torch\n"
        "def batches():\n    yield torch.ones(2, 3)\n    yield torch.ones(1, 3)\n"
        "listed = [torch.ones(2, 3)]\nnumber = 3\n"
        "def failing():\n    yield torch.ones(2)\n    raise KeyError('gone')\n",
        encoding="utf-8",
    )
    assert [len(b) for b in open_batches("loader.py:batches", 7)] == [2, 1]
    assert [len(b) for b in open_batches("loader.py:listed", 7)] == [2]
    with pytest.raises(ActcompareError, match="of type int"):
        list(open_batches("loader.py:number", 7))
    with pytest.raises(ActcompareError, match="fails: KeyError"):
        list(open_batches("loader.py:failing", 7))
    with pytest.raises(ActcompareError, match="did you mean batches"):
        list(open_batches("loader.py:batchs", 7))


def test_random_batches_are_the_same_for_a_seed() -> None:
    one, two = (torch.cat(list(random_batches((3, 2), 20, 7, 1))) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == (20, 3, 2)
    assert not torch.equal(one, torch.cat(list(random_batches((3, 2), 20, 7, 2))))
    assert parse_shape("3x224X2") == (3, 224, 2)
    for text in ("", "3x", "0", "axb", "-1", "3,4"):
        with pytest.raises(UsageError, match="shape of a sample"):
            parse_shape(text)


class Takes(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class TakesMaybe(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x if y is None else y


class TakesAll(nn.Module):
    def forward(self, *x: Tensor) -> Tensor:
        return x[0]


A, B, C = torch.zeros(1), torch.ones(1), torch.ones(2)


@pytest.mark.parametrize(
    ("model", "batch", "options", "args"),
    [
        (nn.ReLU(), A, {}, [A]),
        (nn.ReLU(), (A, B), {}, [A]),
        (nn.ReLU(), [A, B], {"indices": [1]}, [B]),
        (Takes(), (A, B), {}, [A, B]),
        (Takes(), (A, B, C), {}, [A, B]),
        (TakesMaybe(), (A,), {}, [A]),
        (TakesMaybe(), (A, B, C), {"indices": [0, -1]}, [A, C]),
        (TakesAll(), (A, B), {"indices": [0, 1]}, [A, B]),
        (nn.ReLU(), {"a": A, "b": B}, {"keys": ["b"]}, [B]),
    ],
)
def test_what_goes_in(model: nn.Module, batch: Any, options: Any, args: list[Tensor]) -> None:
    assert select(batch, model, **options) == (tuple(args), {})


def test_a_mapping_goes_in_by_names() -> None:
    assert select({"x": A, "y": B}, Takes()) == ((), {"x": A, "y": B})
    assert select({"x": A, "y": B, "z": C}, Takes(), (), ["x", "y"]) == ((), {"x": A, "y": B})


@pytest.mark.parametrize(
    ("model", "batch", "options", "message"),
    [
        (TakesMaybe(), (A, B), {}, "may take 1 to 2: choose with --input-index"),
        (TakesAll(), (A, B), {}, "--input-index"),
        (Takes(), (A,), {}, "needs 2"),
        (nn.ReLU(), (A, B), {"indices": [2]}, "have 2 parts"),
        (nn.ReLU(), (A, B), {"keys": ["x"]}, "without names"),
        (nn.ReLU(), {"x": A}, {"indices": [0]}, "have names"),
        (nn.ReLU(), {"x": A}, {"keys": ["y"]}, "no 'y'"),
        (nn.ReLU(), 5, {}, "of type int"),
    ],
)
def test_it_is_told_where_it_is_open(
    model: nn.Module, batch: Any, options: Any, message: str
) -> None:
    with pytest.raises(ActcompareError, match=message):
        select(batch, model, **options)


def test_arguments_of_every_make_are_cut() -> None:
    x = torch.arange(5)
    (first,), _ = cut((x,), {}, 3)
    assert first.tolist() == [0, 1, 2]
    (first, second), _ = cut((x, {"y": x.numpy(), "n": "name"}), {}, 2)
    assert first.tolist() == second["y"].tolist() == [0, 1]
    assert second["n"] == "name"
    _, named = cut((), {"mask": torch.ones(2, 2), "x": x[:, None], "y": x}, 2)
    assert named["mask"].shape == (2, 2)
    assert (named["x"].shape, named["y"].tolist()) == ((2, 1), [0, 1])


def test_images_are_cut_by_image_and_graphs_not_at_all() -> None:
    images = [torch.zeros(3, 20 + k, 30) for k in range(4)]
    ((first, second),), _ = cut((images,), {}, 2)
    assert (first.shape, second.shape) == ((3, 20, 30), (3, 21, 30))
    graph = {"x": torch.zeros(9, 4), "edge_index": torch.zeros(2, 30, dtype=torch.long)}
    assert cut((), graph, 2) == ((), graph)


class Detector(nn.Module):
    def forward(self, images: list[torch.Tensor], targets: object = None) -> torch.Tensor:
        assert targets is None
        return torch.stack([image.mean() for image in images])


class Pair(nn.Module):
    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return one + other


def test_a_bare_list_of_images_goes_in_as_it_is() -> None:
    images = [torch.zeros(3, 20, 30), torch.zeros(3, 25, 30)]
    assert select(images, Detector()) == ((images,), {})
    two = [torch.zeros(3, 4, 5), torch.zeros(3, 4, 5)]
    assert select(two, Pair()) == (tuple(two), {})


class Graph:
    """As torch_geometric's Data: an object that moves between devices."""

    num_graphs = 7

    def __init__(self) -> None:
        self.x = torch.zeros(5, 2)

    def to(self, device: torch.device) -> "Graph":
        self.x = self.x.to(device)
        return self


def test_an_object_that_moves_goes_in_as_it_is() -> None:
    graph = Graph()
    args, kwargs = select(graph, Detector())
    ready = prepare(args, kwargs, torch.device("cpu"), torch.float32, name="data", before=0)
    assert ready.samples == 7
    assert isinstance(ready.args[0], Graph)
    assert ready.args[0] is not graph


@pytest.mark.parametrize(
    ("args", "kwargs", "samples"),
    [
        ((torch.zeros(4, 9),), {"mask": torch.zeros(9, 9)}, 4),
        ((), {"position_ids": torch.zeros(9), "x": torch.zeros(4, 9), "y": torch.zeros(4)}, 4),
        (([torch.zeros(3, 8, 8)] * 5,), {}, 5),
        ((3, "name"), {}, None),
    ],
)
def test_samples_are_those_of_the_batch(args: Any, kwargs: Any, samples: int | None) -> None:
    assert samples_of(args, kwargs) == samples


def test_expanded_tensors_that_fit_are_read() -> None:
    torch.save(torch.ones(1).expand(20, 3), "x.pt")
    assert torch.equal(whole("x.pt"), torch.ones(20, 3))


def test_random_batches_are_bounded_before_they_are_made() -> None:
    with pytest.raises(ActcompareError, match=r"a batch of 64 samples needs 2.328 TiB"):
        next(random_batches((99999, 99999), 512, 64, 0))
    with pytest.raises(UsageError, match="at most 1,000,000,000 with --random"):
        next(random_batches((4,), 10**12, 64, 0))
    (whole_batch,) = random_batches((4,), 20, 10**12, 0)
    assert whole_batch.shape == (20, 4)


def test_random_batches_do_not_depend_on_the_defaults_of_a_model() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert next(random_batches((4,), 2, 2, 0)).dtype is torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_batch_is_measured_before_it_is_copied() -> None:
    wide = torch.zeros(1).expand(3, 10**7, 10**7)
    with pytest.raises(ActcompareError, match=r"data: a batch needs 1.066 PiB"):
        prepare((wide,), {}, torch.device("cpu"), torch.float32, name="data", before=0)
