"""Data sets: what is taken, what is told, what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actcompare import UsageError
from actcompare.data import samples as datafiles
from actcompare.data.datasets import CLASSIFICATION, REGRESSION, from_arrays
from actcompare.data.sources import load_data
from actcompare.errors import ActcompareError
from actcompare.machine import memory

pytestmark = pytest.mark.usefixtures("in_tmp")


def test_digits_are_the_uci_ones() -> None:
    digits = load_data("digits")
    assert digits.X.shape == (1797, 64)
    assert (digits.task, digits.outputs, digits.classes) == (
        CLASSIFICATION,
        10,
        tuple("0123456789"),
    )
    assert (digits.X.min(), digits.X.max()) == (0, 16)
    from sklearn.datasets import load_digits

    theirs = load_digits()
    assert np.array_equal(digits.X, theirs.data)
    assert np.array_equal(digits.y, theirs.target)


def test_the_visits_to_doctors_are_counts() -> None:
    visits = load_data("randhie")
    assert (visits.task, visits.X.shape, visits.y.shape) == (REGRESSION, (20190, 9), (20190, 1))
    assert visits.inputs[5] == "disea"
    assert (visits.y == visits.y.round()).all()
    # As in statsmodels' documentation of the data; Cameron and Trivedi's vary slightly.
    assert visits.y.mean() == pytest.approx(2.860426, abs=1e-6)
    assert visits.y.std(ddof=1) == pytest.approx(4.504365, abs=1e-6)
    assert visits.y.max() == 77
    with pytest.raises(UsageError, match="has its own target"):
        load_data("randhie", target="mdvis")


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "iris", "linnerud", "wine"])
def test_scikit_learns_own(name: str) -> None:
    dataset = load_data(f"sklearn:{name}")
    regression = name in ("diabetes", "linnerud")
    assert dataset.task == (REGRESSION if regression else CLASSIFICATION)
    assert len(dataset.inputs) == dataset.X.shape[1]
    assert not dataset.notes


def test_random_is_of_the_seed() -> None:
    one, two, other = (load_data("random", input_size=3, output_size=2, seed=s) for s in (0, 0, 1))
    assert one.X.shape == (1000, 3)
    assert one.y.shape == (1000, 2)
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["a", "b"] * 20, CLASSIFICATION),
        ([True, False] * 20, CLASSIFICATION),
        ([0, 1, 2, 3] * 10, CLASSIFICATION),
        ([0.0, 1.0] * 20, CLASSIFICATION),
        (list(range(40)), REGRESSION),
        ([0.5, 1.0] * 20, REGRESSION),
        ([[1.0, 2.0], [3.0, 4.0]] * 20, REGRESSION),
    ],
)
def test_the_task_is_inferred(y: list[object], task: str) -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    assert from_arrays("t", X, np.array(y)).task == task


def test_the_task_can_be_said() -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.array([0, 1, 2, 3] * 10)
    said = from_arrays("t", X, y, REGRESSION)
    assert (said.task, said.why, said.y.shape) == (REGRESSION, "as requested", (40, 1))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((30, 2)), np.zeros(30), "every target is 0"),
        (np.zeros((30, 2)), np.array(["a"] * 30), "every target is a: nothing to learn"),
        (np.zeros((30, 2)), np.full(30, 1.5), "every target is 1.5"),
        (np.zeros((30, 2)), np.full(30, np.nan), "no sample has a target"),
        (np.zeros((30, 2)), np.array(3.0), "does not fit"),
        (np.zeros((30, 2)), np.zeros((30, 0)), "does not fit"),
        (np.zeros((30, 2)), np.arange(29.0), "does not fit"),
        (np.zeros(30), np.arange(30.0), "not \\(sample, input\\)"),
        (np.zeros((0, 2)), np.zeros(0), "not \\(sample, input\\)"),
        (np.full((30, 2), np.inf), np.arange(30.0), "input '0' is infinite, first in sample 1"),
        (np.zeros((30, 2)), np.array([np.inf] * 29 + [1]), "infinite values"),
        (np.zeros((30, 2), dtype=complex), np.arange(30.0), "not real numbers"),
        (np.zeros((30, 2)), np.array([f"t{i}" for i in range(30)]), "are too many for 30 samples"),
    ],
)
def test_what_cannot_be_learned(
    X: np.typing.NDArray[np.float64], y: np.typing.NDArray[np.float64], message: str
) -> None:
    with pytest.raises(ActcompareError, match=message):
        from_arrays("t", X, y)


def test_more_dimensions_are_flattened_and_pixels() -> None:
    X = np.random.default_rng(0).normal(size=(30, 4, 5))
    dataset = from_arrays("t", X, np.arange(30.0))
    assert dataset.X.shape == (30, 20)
    assert dataset.same_unit
    assert "flattened to 20 inputs" in dataset.notes[0]


# --- files ---------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "size": np.arange(30) + 0.5,
        "holed": [1.0, np.nan, 3.0] * 10,
        "colour": ["red", "blue", None] * 10,
        "name": [f"n{i % 3}-{i}" * 2 for i in range(30)],
        "kind": ["a", "b"] * 15,
    }
)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_a_table(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datafiles, "MOST_TEXTS", 20)
    path = Path(f"t{ending}")
    if ending == ".parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    dataset = load_data(str(path), target="kind")
    assert dataset.inputs == ("size", "holed", "colour=blue", "colour=red")
    assert dataset.classes == ("a", "b")
    assert dataset.X[:3, 2:].tolist() == [[0, 1], [1, 0], [0, 0]]
    notes = "\n".join(dataset.notes)
    assert "text column 'colour' becomes 2 one-hot inputs; 10 without a text" in notes
    assert "text column 'name' has 30 distinct texts, and is left out" in notes
    assert "10 missing values (in holed) become the mean" in notes


def test_the_index_that_pandas_writes_is_left_out() -> None:
    FRAME[["size", "kind"]].to_csv("t.csv")
    dataset = load_data("t.csv", target="kind")
    assert dataset.inputs == ("size",)
    assert "numbers the rows" in dataset.notes[0]


def test_rows_without_a_target_are_left_out() -> None:
    FRAME.assign(kind=FRAME["colour"])[["size", "kind"]].to_csv("t.csv", index=False)
    dataset = load_data("t.csv", target="kind")
    assert dataset.X.shape == (20, 1)
    assert "10 samples without a target" in dataset.notes[0]


def test_numbers_as_targets() -> None:
    FRAME[["size", "holed"]].to_csv("t.csv", index=False)
    dataset = load_data("t.csv", target="holed")
    assert (dataset.task, dataset.classes) == (CLASSIFICATION, ("1", "3"))


def test_npz() -> None:
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    np.savez("t.npz", X=X, y=y)
    dataset = load_data("t.npz")
    assert np.array_equal(dataset.X, X)
    assert dataset.classes == ("0", "1", "2")


def test_python_objects_are_never_unpickled() -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (open, ("trapped", "w"))

    np.savez("t.npz", X=np.zeros((30, 2)), y=np.array([Trap()] * 30, dtype=object))
    with pytest.raises(ActcompareError, match="Python objects"):
        load_data("t.npz")
    assert not Path("trapped").exists()


@pytest.mark.parametrize(
    ("name", "content", "target", "message"),
    [
        ("t.csv", b"x,y\n1,2\n1,2,3,4\n", "y", "row 3: 4 fields, but 2 columns"),
        ("t.csv", b"x,y\n1,2\n", "z", "has no column 'z': it has x, y"),
        ("t.csv", b"x,y\n1,2\n", None, "choose what to learn with --target"),
        ("t.csv", b"y\n1\n2\n", "y", "no column is left to learn 'y' from"),
        ("t.npz", b"no zip", "y", "--target applies to tables only"),
        ("t.csv", b"a;b;y\n1;2;3\n", "y", "has no column 'y': it has a;b;y"),
        ("t.xls", b"", None, "use digits, randhie, sklearn:breast_cancer"),
    ],
)
def test_bad_files(name: str, content: bytes, target: str | None, message: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(ActcompareError, match=message):
        load_data(name, target=target)


def test_pandas_own_numbers_as_targets() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=40)})
    frame["truth"] = pd.array([True, False, None, True] * 10, dtype="boolean")
    frame["whole"] = pd.array([1, 2, None, 2] * 10, dtype="Int64")
    frame.to_parquet("t.parquet")
    for target, classes in (("truth", ("0", "1")), ("whole", ("1", "2"))):
        dataset = load_data("t.parquet", target=target)
        assert dataset.classes == classes
        assert len(dataset.X) == 30


def test_columns_of_one_name_are_refused() -> None:
    import pyarrow as pa
    import pyarrow.parquet

    numbers = pa.array([1.0, 2.0])
    pyarrow.parquet.write_table(pa.table([numbers] * 3, names=["a", "a", "y"]), "t.parquet")
    with pytest.raises(ActcompareError, match="has 2 columns named 'a': rename or remove"):
        load_data("t.parquet", target="y")


@pytest.mark.parametrize("header", ["a,b,y,y", "a,a,b,y", "a, y,b,y ", '"y",a,b,y', "y,y.1,y,b"])
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_no_column_is_taken_for_its_twin(header: str, ending: str) -> None:
    rows = "".join(f"{i},{i % 5},{i % 3},{i % 2}\n" for i in range(30))
    text = f"{header}\n{rows}"
    Path(f"t{ending}").write_text(text if ending == ".csv" else text.replace(",", "\t"))
    with pytest.raises(ActcompareError, match="has 2 columns named"):
        load_data(f"t{ending}", target="y")


def test_columns_without_a_name_and_with_spaces() -> None:
    Path("t.csv").write_text(",, y \n" + "".join(f"{i * i},{i % 3},{i % 2}\n" for i in range(30)))
    dataset = load_data("t.csv", target="y")
    assert dataset.X.shape == (30, 2)


def test_npz_without_its_arrays() -> None:
    np.savez("t.npz", a=np.zeros(3))
    with pytest.raises(ActcompareError, match="has the arrays a: save it as"):
        load_data("t.npz")


def test_what_does_not_fit_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    FRAME[["size", "kind"]].to_csv("t.csv", index=False)
    FRAME[["size", "kind"]].to_parquet("t.parquet")
    np.savez("t.npz", X=np.zeros((30, 20)), y=np.arange(30))
    monkeypatch.setattr(memory, "free_memory", lambda _: 100)
    for name in ("t.csv", "t.parquet", "t.npz"):
        with pytest.raises(ActcompareError, match="of memory, but only 100 B is free"):
            load_data(name, target=None if name == "t.npz" else "kind")


def test_a_sparse_file_of_ten_gigabytes_is_refused() -> None:
    with Path("t.csv").open("w") as out:
        out.write("x,y\n" + "1,2\n" * 5000)
        out.truncate(10 * 2**40)
    with pytest.raises(ActcompareError, match="of memory, but only"):
        load_data("t.csv", target="y")


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ("sklearn:california", {}, "scikit-learn provides"),
        ("digits", {"target": "y"}, "has its own target"),
        ("random", {"task": CLASSIFICATION}, "is a regression"),
        ("random", {"input_size": 0}, "at least 1"),
        ("digits", {"task": "guessing"}, "not one of classification, regression"),
        ("nowhere", {}, "nowhere is not a data set: use digits"),
    ],
)
def test_bad_requests(source: str, more: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_data(source, **more)  # type: ignore[arg-type]


def test_a_missing_file_is_told() -> None:
    with pytest.raises(ActcompareError, match=r"cannot read nowhere\.csv: No such file"):
        load_data("nowhere.csv", target="y")
