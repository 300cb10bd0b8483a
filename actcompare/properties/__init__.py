"""`actcompare table` and `actcompare list`."""
