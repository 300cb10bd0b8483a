"""A real report, made once."""

from dataclasses import replace

import pytest

from actcompare.reporting import parts
from actcompare.reporting.report import Report, report


@pytest.fixture(scope="session")
def real() -> Report:
    """A real report; nothing is compiled, seeds are few, and no more time is taken than needed."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parts, "SEEDS", (2, 3))
        patched.setattr(parts, "VARIATIONS", {"3 hidden layers": {"depth": 3}})
        patched.setattr(parts, "CASE_S", 0.3)
        kinds = [
            replace(kind, least_s=lambda _: 1e9) if kind.name == "compiled" else kind
            for kind in parts.KINDS
        ]
        patched.setattr(parts, "KINDS", tuple(kinds))
        return report(("relu", "softplus", "gelu"), budget=120.0)
