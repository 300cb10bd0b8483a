"""What a report measures, and how its parts share a budget of seconds."""
