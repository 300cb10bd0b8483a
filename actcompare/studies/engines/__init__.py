"""Where the groups of a study are trained: this process, worker processes, or a Ray cluster."""
