"""Types of numbers and names with bounds, which hold where `files.saved` reads them."""

import math
from typing import Annotated

from annotated_types import Interval, MaxLen, MinLen

Count = Annotated[int, Interval(ge=0, lt=2**64)]
"""0 or more."""

Positive = Annotated[int, Interval(ge=1, lt=2**63)]
"""1 or more."""

Amount = Annotated[float, Interval(ge=0, lt=math.inf)]
"""A finite number, 0 or more; not NaN."""

Share = Annotated[float, Interval(ge=0, le=1)]
"""From 0 to 1."""

Label = Annotated[str, MaxLen(1000)]
"""A name that is shown in tables and pictures."""

AtLeastOne = MinLen(1)
"""Marks a collection that is never empty."""
