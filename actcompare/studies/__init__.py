"""`actcompare study`."""
