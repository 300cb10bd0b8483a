"""A real report, made once."""

import pytest

from actcompare.reporting import parts
from actcompare.reporting.report import Report, report


@pytest.fixture(scope="session")
def real() -> Report:
    """A real report within a few seconds: nothing is compiled, and seeds are few."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parts, "SEEDS", (2, 3))
        patched.setattr(parts, "VARIATIONS", {"3 hidden layers": {"depth": 3}})
        patched.setattr(parts, "PAGE_S", 0.0)
        return report(("relu", "softplus", "gelu"), budget=20.0)
