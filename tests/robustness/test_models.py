"""A few models of ill will, of each kind; more on demand."""

from tests.robustness.models import PARTS, cases, fault


def test_models_of_ill_will_change_nothing_and_get_an_answer() -> None:
    faults = {str(case): why for case in cases(110, 3) if (why := fault(case))}
    assert faults == {}


def test_the_cases_begin_with_every_part() -> None:
    drawn = {part for case in cases(5 * len(PARTS), 0) for part in case.parts}
    assert drawn == set(PARTS)
