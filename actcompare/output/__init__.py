"""Write results for people and for programs."""
