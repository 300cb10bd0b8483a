"""`actcompare inspect`."""
