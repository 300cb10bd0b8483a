"""Which experts of a mixture ran, and which got no token."""

from torch import nn

from actcompare.models.places import acting_paths, module_paths
from actcompare.text import listed


class ExpertsSeen:
    """Experts that ran: modules in a list, or slices of a parameter (expert, out, in)."""

    def __init__(self, model: nn.Module) -> None:
        self.ran: set[nn.Module] = set()
        """Modules that ran, of those that may call an activation."""
        self._lists = {
            path: list(module.children()) for path, module in module_paths(model)
            if isinstance(module, nn.ModuleList)
            or (isinstance(module, nn.ModuleDict) and "expert" in path.lower())
        }  # fmt: skip
        self._acting = set(acting_paths(model))
        self._stacked = {
            path: len(weight)
            for path, module in module_paths(model)
            for weight in module._parameters.values()
            if weight is not None and weight.dim() == 3
        }
        self._saw: dict[tuple[str, str], set[int]] = {}

    def saw(self, path: str, use: str, expert: int) -> None:
        """Note a call of an activation by an expert."""
        self._saw.setdefault((path, use), set()).add(expert)

    def without_tokens(self) -> dict[str, str]:
        """Return the places of experts that got no token, with their count and numbers."""
        found: dict[str, str] = {}
        for path, modules in self._lists.items():
            idle = [i for i, m in enumerate(modules) if m in self._acting and m not in self.ran]
            if 0 < len(idle) < len(modules):
                found[path] = _said(idle, len(modules))
        for (path, _), seen in self._saw.items():
            within = [at for at in self._stacked if not at or f"{path}.".startswith(f"{at}.")]
            of = self._stacked[max(within, key=len)] if within else 0
            idle = [i for i in range(of) if i not in seen]
            if idle:
                found[path or "(model)"] = _said(idle, of)
        return found


def _said(idle: list[int], of: int) -> str:
    return f"{len(idle)} of {of} experts got no token ({listed(list(map(str, idle)), 8)})"
