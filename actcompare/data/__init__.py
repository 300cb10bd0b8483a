"""Data sets, and their split into parts: `load_data` gives a `Dataset` by its name."""

from actcompare.data.datasets import Dataset
from actcompare.data.sources import load_data

__all__ = ["Dataset", "load_data"]
