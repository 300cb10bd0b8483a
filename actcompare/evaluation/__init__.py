"""`actcompare eval`."""
