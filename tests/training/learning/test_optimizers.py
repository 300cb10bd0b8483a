import pytest
import torch

from actcompare.training.learning.optimizers import make_optimizer

CLASSES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(
    ("name", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0), ("adamw", 0.0)]
)
def test_steps_are_torchs_to_the_bit(
    name: str, momentum: float, weight_decay: float, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    ours = torch.randn(50, dtype=dtype)
    theirs = torch.nn.Parameter(ours.clone())
    more = {"momentum": momentum} if name == "sgd" else {}
    peer = CLASSES[name]([theirs], lr=0.05, weight_decay=weight_decay, **more)
    optimizer = make_optimizer(name, 0.05, momentum, weight_decay)
    for _ in range(30):
        gradient = torch.randn(50, dtype=dtype)
        theirs.grad = gradient.clone()
        peer.step()
        optimizer.step(ours, gradient)
        assert torch.equal(ours, theirs.detach())
