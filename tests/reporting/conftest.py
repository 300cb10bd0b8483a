"""A real report, made once."""

from dataclasses import replace

import pytest

from actcompare.reporting.parts import budget, kinds, training
from actcompare.reporting.report import Report, report


@pytest.fixture(scope="session")
def real() -> Report:
    """A real report; nothing is compiled, seeds are few, and no more time is taken than needed."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "SEEDS", (2, 3))
        patched.setattr(training, "FEW_SEEDS", (3,))
        patched.setattr(training, "VARIATIONS", {"3 hidden layers": {"depth": 3}})
        patched.setattr(kinds, "CASE_S", 0.3)
        shortened = [
            replace(kind, least_s=lambda _: 1e9) if kind.name == "compiled" else kind
            for kind in kinds.KINDS
        ]
        patched.setattr(budget, "KINDS", tuple(shortened))
        return report(("relu", "softplus", "gelu"), budget=120.0)
