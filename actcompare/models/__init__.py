"""SimpleNet, and a user's own model."""
