"""Learning: the networks, their steps and scores, alone or many as one batched net."""
