"""Data sets and their splits; `load_data` returns a `Dataset` by name."""

from actcompare.data.datasets import Dataset
from actcompare.data.sources import load_data

__all__ = ["Dataset", "load_data"]
