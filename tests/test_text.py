import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.text import (
    LINE,
    escaped,
    prose,
    read_finite,
    read_number,
    read_shape,
    read_whole,
    shown,
)


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


def test_prose_keeps_every_word_and_escapes_what_cannot_be_seen() -> None:
    text = " ".join(f"activation{i} is unclear." for i in range(400))
    assert prose(text) == [text]
    assert prose("one\x1b[31m\ntwo\u202e\n") == ["one\\x1b[31m", "two\\u202e"]
    (cut,) = prose("a " + "x" * 20_000 + " b")
    assert cut.startswith("a xx")
    assert cut.endswith("xx b")
    assert len(cut) < 1000


@given(st.text())
def test_what_is_shown_is_short_and_printable(text: str) -> None:
    assert escaped(text).isprintable()
    assert len(shown(text, 20)) <= 20 + len("...")


@pytest.mark.parametrize(
    ("text", "shape"), [("3x224x224", [3, 224, 224]), ("2^10X4", [1024, 4]), ("7", [7])]
)
def test_shapes(text: str, shape: list[int]) -> None:
    assert read_shape(text) == shape


@pytest.mark.parametrize("text", ["", "x", "3x", "0x2", "-1x2", "1.5x2", "3*4"])
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(ValueError, match=r"shape|whole number"):
        read_shape(text)
