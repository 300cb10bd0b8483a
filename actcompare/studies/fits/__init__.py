"""Studies of a user's own training: `study --train mine.py:fit`."""
