import torch
from torch import nn

from actcompare import SimpleNet
from actcompare.models.simple_net import initialise


def test_it_is_the_articles() -> None:
    net = SimpleNet(4, 3, 1, nn.Softplus())
    assert str(net) == (
        "SimpleNet(\n"
        "  (hidden1): Linear(in_features=4, out_features=3, bias=True)\n"
        "  (activation1): Softplus(beta=1.0, threshold=20.0)\n"
        "  (output): Linear(in_features=3, out_features=1, bias=True)\n"
        ")"
    )
    x = torch.randn(2, 4)
    assert net(x).shape == (2, 1)
    by_hand = net.output(nn.functional.softplus(net.hidden1(x)))  # type: ignore[operator]
    assert torch.equal(net(x), by_hand)
    assert net.parameter_count() == 4 * 3 + 3 + 3 + 1


def test_functions_stand_for_themselves_and_layers_share_nothing() -> None:
    net = SimpleNet(4, 3, 2, nn.PReLU(), depth=3, output_activation=torch.exp)
    names = [name for name, _, _ in net.hidden_layers()]
    assert names == ["hidden1", "hidden2", "hidden3"]
    weights = {id(p) for _, _, activation in net.hidden_layers() for p in activation.parameters()}
    assert len(weights) == 3
    assert bool((net(torch.randn(5, 4)) > 0).all())
    assert "(activation1): Elementwise(relu)" in str(SimpleNet(4, 3, 1))


def test_initialisations() -> None:
    torch.manual_seed(0)
    net = SimpleNet(1000, 1000, 10)
    ((_, hidden, _),) = net.hidden_layers()
    own = hidden.weight.detach().clone()
    initialise(net, "default")
    assert torch.equal(own, hidden.weight)
    for how, std in (("kaiming", (2 / 1000) ** 0.5), ("xavier", (2 / 2000) ** 0.5)):
        initialise(net, how)
        assert abs(float(hidden.weight.detach().std()) / std - 1) < 0.01
        assert not hidden.bias.any()
