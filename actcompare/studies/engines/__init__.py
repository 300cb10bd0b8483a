"""Engines that train the groups of a study: this process, worker processes, a Ray cluster."""
