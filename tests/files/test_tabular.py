"""Numbers come from tables as Python reads them, and no fault in a table goes unnamed."""

import csv
import io
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actcompare.errors import ActcompareError, UsageError
from actcompare.files import tabular
from actcompare.files.tabular import (
    _plain_numbers,
    bounded_lines,
    first_rows,
    is_number,
    read_frame,
    read_numbers,
)
from actcompare.text import read_number

pytestmark = pytest.mark.usefixtures("in_tmp")
again = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)


def numbers(name: str, columns: list[str] | None = None, rows: int = 7) -> list[list[float]]:
    blocks = list(read_numbers(Path(name), lambda names: columns or names, rows))
    assert {len(block) for block in blocks[:-1]} <= {rows}
    return np.concatenate(blocks).tolist()  # type: ignore[no-any-return]


def write(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


# --- numbers -------------------------------------------------------------------------------------


@given(st.floats() | st.integers().filter(lambda n: abs(n) < 2**1000))
def test_a_number_is_what_python_reads(number: float) -> None:
    assert str(read_number(f" {number}\n")) == str(float(number))


@pytest.mark.parametrize("text", ["", " ", "abc", "1,2", "0x10", "1e400", "-1e999", "1_000", "--5"])
def test_what_is_no_number(text: str) -> None:
    assert not is_number(text)
    with pytest.raises(ValueError, match=r"is not a number|out of range"):
        read_number(text)


CHARACTERS = "01-+.eE_,\t #\"'\0\r\n\x1c\ufeff\xa0\u0663;"
WORDS = ["inf", "nan", "Infinity", "1e400", "5e-324", "0x", "1d5", "1j", "nan(1)", "True", "0.1"]
NASTY = st.sampled_from([*CHARACTERS, *WORDS])


@given(
    st.lists(st.text("1.5", min_size=1) | st.lists(NASTY, max_size=3).map("".join), min_size=1),
    st.sampled_from([1, 2, 3]),
)
@example(["1", "", "2"], 1)
@example(['"1', '2"'], 1)
@example(["1\0"], 1)
def test_the_quick_way_gives_what_the_slow_one_gives(fields: list[str], width: int) -> None:
    """Lines are read quickly only where csv and float read the same from them."""
    lines = [
        ",".join(fields[i : i + width]) + "\n" for i in range(0, len(fields) - width + 1, width)
    ]
    lines = io.StringIO("".join(lines), newline="").readlines()
    quick = _plain_numbers(lines, ",", width, range(width)) if lines else None
    if quick is not None:
        slow = [list(map(read_number, row)) for row in csv.reader(lines)]
        np.testing.assert_array_equal(quick, slow)


@again
@given(
    st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=1, max_size=40),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n", "\n\n", "\r"]),
    st.booleans(),
    st.integers(1, 50),
)
def test_every_bit_comes_back(
    table: list[list[float]], quoting: int, end: str, header: bool, rows: int
) -> None:
    """Whatever the quotes, the line ends, the header and how many rows are read at a time."""
    names = ["a", "x,y", 'say "z"'] if header else ["1", "2", "3"]
    for name, delimiter in (("t.csv", ","), ("t.tsv", "\t")):
        with Path(name).open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
            writer.writerows([names] if header else [])
            writer.writerows(table)
        np.testing.assert_array_equal(numbers(name, rows=rows), table)
        np.testing.assert_array_equal(
            numbers(name, names[:0:-1], rows), [row[:0:-1] for row in table]
        )


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("spaced.csv", "n , z \n9, -2\n9, 0.1\n", "z"),
        ("texts.csv", 'n,z\n"a,b","-2"\n9,0.1\n', "z"),
        ("lines.csv", 'n,z\n"a\nb",-2\n9,0.1\n', "z"),
        ("marked.csv", "\ufeffz\r\n-2\r\n\r\n0.1\r\n", "z"),
        ("no_end.csv", "z\n-2\n0.1", "z"),
        ("bare.csv", '9,-2\n"8",0.1\n', "2"),
        ("late.csv", "z\n" + "\n" * 20 + "-2\n" + "\n" * 20 + "0.1\n", "z"),
        ("it.tsv", "n\tz\na b\t-2\nc\t0.1\n", "z"),
    ],
)
def test_tables_as_people_write_them(name: str, content: str, column: str) -> None:
    assert numbers(write(name, content), [column]) == [[-2.0], [0.1]]


FAULTS = {
    "1,2,3": "3 fields, but 2 columns",
    "1": "1 fields, but 2 columns",
    "1,": "column 'b': an empty field",
    "1,two": "column 'b': 'two' is not a number",
    "1,1_0": "column 'b': '1_0' is not a number",
    "1,-1e999": "column 'b': '-1e999' is out of range",
    '1,"x\ny"': "column 'b': 'x\\\\ny' is not a number",
}


@again
@given(st.sampled_from(sorted(FAULTS)), st.integers(0, 30), st.integers(0, 30), st.integers(1, 9))
def test_a_fault_is_named_with_its_line(fault: str, before: int, after: int, rows: int) -> None:
    write("t.csv", "a,b\n" + "1,2\n" * before + fault + "\n" + "3,4\n" * after)
    line = before + 2 + fault.count("\n")
    with pytest.raises(ActcompareError, match=f"t.csv, row {line}[,:] .*{FAULTS[fault]}"):
        numbers("t.csv", rows=rows)


@pytest.mark.parametrize(
    ("content", "columns", "says"),
    [
        ("", None, "is empty"),
        ("\n\n", None, "is empty"),
        ("z\n", None, "has a header but no rows"),
        ("a,b\n1,2\n", ["c"], "no column 'c': it has a, b"),
        ("a,a\n1,2\n", ["a"], "2 columns named 'a'"),
        (b"a\n\xff\xfe1\n", None, "is not UTF-8 text"),
        (b"a\n" + b"1\n" * 99 + b"\xff\xfe1\n", None, "is not UTF-8 text"),
        (bytes(range(256)) * 8, None, "is not UTF-8 text"),
        (b"a\n" + b"1" * 200_000 + b'\n"2"\n', None, "out of range|not a table"),
    ],
)
def test_bad_tables(content: str | bytes, columns: list[str] | None, says: str) -> None:
    with pytest.raises(ActcompareError, match=rf"x\.csv.* ({says})"):
        numbers(write("x.csv", content), columns)


# --- parquet -------------------------------------------------------------------------------------


@again
@given(st.lists(st.none() | st.floats(), min_size=1, max_size=40), st.integers(1, 9))
def test_parquet(column: list[float | None], rows: int) -> None:
    table = pa.table({"n": ["a"] * len(column), "z": pa.array(column, pa.float64())})
    pyarrow.parquet.write_table(table, "t.parquet", row_group_size=5)
    expected = [math.nan if value is None else value for value in column]
    np.testing.assert_array_equal(numbers("t.parquet", ["z"], rows), np.array([expected]).T)


def test_bad_parquet() -> None:
    pd.DataFrame({"n": ["a", "b"], "z": [1.5, -2.0]}).to_parquet("t.parquet")
    with pytest.raises(
        ActcompareError, match=r"column 'n' contains .*string, which is not a number"
    ):
        numbers("t.parquet")
    with pytest.raises(UsageError, match="no column 'y': it has n, z"):
        numbers("t.parquet", ["y"])
    pd.DataFrame({"z": np.zeros(0)}).to_parquet("empty.parquet")
    with pytest.raises(ActcompareError, match="has no rows"):
        numbers("empty.parquet")
    for size in (300, 12):
        write("cut.parquet", Path("t.parquet").read_bytes()[:size])
        for read in (numbers, lambda name: read_frame(Path(name))):
            with pytest.raises(ActcompareError, match="not a Parquet file or is damaged"):
                read("cut.parquet")


# --- frames --------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "x": [0.1, math.nan, 5e-324] * 700,
        "text": ["a,b", None, 'say "c"'] * 700,
        "n": range(2100),
        "last": [1.0, None, 3.0] * 700,
    }
)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_frame_comes_back_and_its_rows_are_reckoned(ending: str) -> None:
    path = Path(f"t.{ending}")
    if ending == "parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    pd.testing.assert_frame_equal(read_frame(path), FRAME)
    rows, some = first_rows(path)
    assert rows == pytest.approx(2100, rel=0.2)
    pd.testing.assert_frame_equal(some, FRAME.head(len(some)))


@pytest.mark.parametrize("row", ["1,2,3", "1,2,", "1"])
@pytest.mark.parametrize("before", [0, 1, 50])
def test_a_row_that_does_not_fit_is_named(row: str, before: int) -> None:
    """pandas alone would take a column for the index, or fill it up."""
    path = Path(write("t.csv", "a,b\n" + "1,\n" * before + row + "\n" + "1,2\n" * 3))
    fields = row.count(",") + 1
    message = f"t.csv, row {before + 2}: {fields} fields, but 2 columns"
    with pytest.raises(ActcompareError, match=message):
        read_frame(path)
    with pytest.raises(ActcompareError, match=message):
        numbers("t.csv", ["a"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"x,y\n", "has a header but no rows"),
        (b"x,y\n\xff\xfe,1\n", "is not UTF-8"),
    ],
)
def test_bad_frames(content: bytes, says: str) -> None:
    with pytest.raises(ActcompareError, match=f"t.csv {says}"):
        read_frame(Path(write("t.csv", content)))


def test_a_missing_file_is_told() -> None:
    for name in ("t.csv", "t.parquet"):
        with pytest.raises(ActcompareError, match=f"cannot read {name}: No such file"):
            read_frame(Path(name))
        with pytest.raises(ActcompareError, match=f"cannot read {name}: No such file"):
            numbers(name)


# --- what is no table -----------------------------------------------------------------------------


def test_only_wanted_columns_must_have_a_name_of_their_own() -> None:
    write("t.csv", "a,y,y,b\n1,2,3,4\n")
    assert numbers("t.csv", ["a", "b"]) == [[1, 4]]
    for columns in (["y"], None):
        with pytest.raises(ActcompareError, match=r"t\.csv has 2 columns named 'y': rename"):
            numbers("t.csv", columns)
    with pytest.raises(ActcompareError, match=r"t\.csv has 2 columns named 'y': rename"):
        read_frame(Path("t.csv"))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_device_without_line_ends_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "_LONGEST_LINE", 2**16)
    Path(name).symlink_to("/dev/zero")
    for read in (numbers, lambda name: read_frame(Path(name))):
        with pytest.raises(ActcompareError, match="a line of 65,536 characters or more"):
            read(name)


def test_a_pipe_must_end_before_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "free_memory", lambda _: 80)
    os.mkfifo("t.csv")
    writer = threading.Thread(target=Path("t.csv").write_text, args=("a,b\n" + "1,2\n" * 9,))
    writer.start()
    with pytest.raises(ActcompareError, match="does not end before memory is short"):
        read_frame(Path("t.csv"))
    writer.join()


def test_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(bounded_lines(io.StringIO("1\n\n22"), "it")) == ["1\n", "\n", "22"]
    monkeypatch.setattr(tabular, "_LONGEST_LINE", 3)
    with pytest.raises(ActcompareError, match="it has a line of 3 characters or more"):
        list(bounded_lines(io.StringIO("1\n22\n"), "it"))


def test_a_pipe_is_read_once() -> None:
    os.mkfifo("t.csv")
    for read in (numbers, lambda name: read_frame(Path(name)).to_numpy().tolist()):
        writer = threading.Thread(target=Path("t.csv").write_text, args=("a,b\n1,2\n3,\n",))
        writer.start()
        if read is numbers:
            with pytest.raises(ActcompareError, match="row 3, column 'b': an empty field"):
                read("t.csv")
        else:
            assert str(read("t.csv")) == "[[1.0, 2.0], [3.0, nan]]"
        writer.join()


@pytest.mark.parametrize("read", [numbers, lambda name: read_frame(Path(name))])
def test_odd_parquet_files_are_told(read: Callable[[str], object]) -> None:
    nested = pa.table({"a": [[1.0, 2.0]], "y": [1]})
    pyarrow.parquet.write_table(nested, "t.parquet")
    with pytest.raises(ActcompareError, match=r"column 'a' contains list.* not single values"):
        read("t.parquet")
    whole = Path("t.parquet").read_bytes()
    write("t.parquet", b"PARE" + whole[4:-4] + b"PARE")
    with pytest.raises(ActcompareError, match=r"is encrypted|is damaged"):
        read("t.parquet")
    Path("t.parquet").unlink()
    os.mkfifo("t.parquet")
    with pytest.raises(ActcompareError, match="is a pipe or a device"):
        read("t.parquet")
