"""SimpleNet, and users' models."""
