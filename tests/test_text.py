import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.text import LINE, read_finite, read_number, read_whole, shown


def test_no_character_that_moves_or_hides_text_is_printed() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    for category in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        some = "".join(c for c in every if unicodedata.category(c) == category)
        assert shown(some, len(some)).isprintable()
    assert shown("a\x1b[31m\n\u202e\udc80\x9b") == "a\\x1b[31m\\n\\u202e\\udc80\\x9b"


@given(st.text())
def test_what_is_printable_stays(text: str) -> None:
    assert shown(text).isprintable()
    assert (shown(text) == text) == text.isprintable()


def test_a_long_text_loses_its_middle() -> None:
    text = "begin" + "x" * 20_000 + "end"
    assert len(shown(text)) == LINE + 3
    assert shown(text).startswith("begin")
    assert shown(text).endswith("xend")
    assert "x...x" in shown(text)


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers(number: int) -> None:
    assert (
        read_whole(str(number)) == read_whole(f"{number:_}") == read_whole(f" {number} ") == number
    )


@pytest.mark.parametrize(
    ("text", "number"), [("1e6", 10**6), ("2^20", 2**20), ("1.5e1", 15), ("-0", 0), ("10^3", 1000)]
)
def test_whole_numbers_as_people_write_them(text: str, number: int) -> None:
    assert read_whole(text) == number


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "1.5", "nan", "inf", "-2^0.5", "2^", "^2", "2^64", "2^99999999999", "1e400",
     "9" * 400, "9" * 5000, "0x10", "\u0661", "1,5", "1e-3", "--5", str(2**63)],
)  # fmt: skip
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"whole number|64 bits"):
        read_whole(text)


@given(st.floats())
def test_numbers(number: float) -> None:
    assert repr(read_number(repr(number))) == repr(number)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "1_0", "\u0661", "0x1", "", "x"])
def test_what_is_no_finite_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|out of range"):
        read_finite(text)
