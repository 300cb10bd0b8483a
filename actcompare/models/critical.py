"""Critical initialisation: weights and biases that keep the length of signals and of gradients.

A net of any continuous activation f can be made critical once f is centred. By the Gaussian
Poincare inequality Var f <= E f'^2, so that

    sigma_w^2 = 1 / E f'(sqrt(q0) z)^2    and    sigma_b^2 = q0 - sigma_w^2 Var f(sqrt(q0) z) >= 0

keep both the variance q0 of the pre-activations and the variance of the gradient. Centring is a
matter of the weights alone: without the mean of each unit's incoming weights, what all inputs have
in common, the mean of f, cancels.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actcompare.activations.derivatives import build_elementwise
from actcompare.activations.gaussian import Array, Curve, Moments, crossings, moments
from actcompare.activations.spec import Activation, Specs, parse_one
from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError, UsageError

LENGTHS = (1.0, 3.0, 10.0, 30.0)
"""The variances q0 that are tried, in this order."""

STEEPEST = 0.9
"""Largest slope of the length map at q0, so that a deviation from q0 shrinks by a tenth a layer."""

SOME = 64
"""Samples on which a model is run to see whether it is a plain stack."""

CLEAR = 4.0
"""Least ratio of q0 to the next fixed point, beyond which signals would not return."""


@dataclass(frozen=True)
class CriticalPoint:
    """An initialisation at which signals and gradients keep their length."""

    q0: float
    """Variance of the pre-activations."""
    sigma_w2: float
    """Variance of a weight times the number of inputs; rows are centred."""
    sigma_b2: float
    """Variance of a bias."""
    slope: float
    """Slope of the length map at q0: a deviation from q0 changes by this factor a layer."""


def critical_point(curve: Curve) -> CriticalPoint:
    """Return the critical initialisation of an activation, at the least of LENGTHS that is stable.

    Raises:
        ActcompareError: There is none.
    """
    if not curve.has_theory:
        raise ActcompareError(f"{curve.label} {curve.trouble}: it has no critical initialisation")
    for q0 in LENGTHS:
        at = moments(curve, q0)
        if not 0 < at.d2[0] < math.inf:
            continue
        found = _at_length(q0, at)
        if found.slope <= STEEPEST and _is_clear(curve, float(at.f[0]), found):
            return found
    raise ActcompareError(
        f"{curve.label} has no stable critical initialisation: signals return to none of the"
        f" variances tried, {', '.join(f'{q0:g}' for q0 in LENGTHS)}"
    )


def _at_length(q0: float, at: Moments) -> CriticalPoint:
    sigma_w2 = 1 / float(at.d2[0])
    slope = sigma_w2 * float(at.zfd[0] - at.f[0] * at.zd[0]) / math.sqrt(q0)
    return CriticalPoint(q0, sigma_w2, max(0.0, q0 - sigma_w2 * float(at.variance[0])), slope)


def _is_clear(curve: Curve, mean: float, point: CriticalPoint) -> bool:
    """Return whether no other fixed point is near, with the mean of f at q0 subtracted from f."""

    def surplus(q: Array) -> Array:
        at = moments(curve, q)
        return point.sigma_w2 * (at.f2 - 2 * mean * at.f + mean**2) + point.sigma_b2 - q

    away = [abs(math.log(q / point.q0)) for q in crossings(surplus)]
    return all(each < 1e-3 or each >= math.log(CLEAR) for each in away)


def initialise_critical_(
    model: nn.Module, activation: Specs, data: Tensor, *, generator: torch.Generator | None = None
) -> CriticalPoint:
    """Draw the weights of a plain stack of linear layers critically, in place.

    The expected variance of the pre-activations becomes q0, in the mean over the data, in each
    hidden layer; q0 is the least of 1, 3, 10 and 30 to which signals return (a larger one lets
    softplus bend less). The outputs have a variance below 1. The function class of the model does
    not change.

    Args:
        model: Linear layers with biases, with the activation between them and after the last hidden
            one, and nothing else that changes numbers. It is run once, on some of the data.
        activation: The activation, as a SPEC, a function or a module.
        data: Inputs of the model, shape (sample, ...).
        generator: Random generator; by default torch's own.

    Raises:
        UsageError: There is not exactly one activation, or the model is no such stack.
        ActcompareError: The activation has no critical initialisation, or the data are all 0.
    """
    one = parse_one(activation)
    X = torch.as_tensor(data).detach()
    layers = _stack(model, one, X[:SOME])
    return draw_critical_(layers, one, float(X.double().square().mean()), generator)


def _stack(model: nn.Module, activation: Activation, X: Tensor) -> list[nn.Linear]:
    """Return the linear layers of a plain stack, in the order in which it calls them.

    Raises:
        UsageError: It is no plain stack with this activation.
    """
    names = {leaf: name for name, leaf in model.named_modules() if isinstance(leaf, nn.Linear)}
    for name, module in model.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        other = own and not isinstance(module, nn.Linear | nn.PReLU)
        drops = isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
        if other or drops or isinstance(module, nn.modules.lazy.LazyModuleMixin):
            raise _no_stack(f"{name or 'the model'} is {type(module).__name__}")
        if module in names and (module.bias is None or module.in_features < 2):
            raise _no_stack(f"{name} has {'no biases' if module.bias is None else 'one input'}")
    calls: list[tuple[nn.Linear, Tensor, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Linear)
        calls.append((layer, inputs[0].clone(), output.clone()))

    hooks = [layer.register_forward_hook(note) for layer in names]
    try:
        with torch.no_grad():
            model(X)
    except Exception as error:  # a user's model may fail in any way
        raise ActcompareError(f"the model fails on the data: {describe(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()
    layers = [layer for layer, _, _ in calls]
    if len(layers) < 2 or len(set(layers)) < len(layers) or len(layers) < len(names):
        raise _no_stack(f"linear layers in the model: {len(names)}, called: {len(layers)}")
    function = build_elementwise(activation, X.dtype, X.device)
    for (_, _, z), (layer, a, _) in itertools.pairwise(calls):
        expected = function(z).flatten(1)
        if a.flatten(1).shape != expected.shape or not torch.allclose(
            a.flatten(1), expected, rtol=1e-3, atol=1e-5
        ):
            raise _no_stack(
                f"layer {names[layer]} does not get {activation.label} of the layer before it"
            )
    return layers


def _no_stack(why: str) -> UsageError:
    return UsageError(
        f"{why}: critical initialisation is for plain stacks of nn.Linear with biases and one"
        " activation, without normalisation, dropout or shortcuts"
    )


def draw_critical_(
    layers: Sequence[nn.Linear],
    activation: Activation,
    mean_square: float,
    generator: torch.Generator | None = None,
) -> CriticalPoint:
    """Draw the weights and biases of linear layers critically, in place.

    Args:
        layers: The layers in order; the last is the output.
        activation: The activation between them.
        mean_square: Mean square of the inputs' entries.
        generator: Random generator; by default torch's own.

    Raises:
        ActcompareError: The activation has no critical initialisation, or the inputs are all 0.
    """
    if not 0 < mean_square < math.inf:
        raise ActcompareError(f"the mean square of the inputs is {mean_square:g}, not positive")
    point = critical_point(Curve.of(activation))
    first, last = layers[0], layers[-1]
    with torch.no_grad():
        for layer in layers:
            size = layer.in_features
            layer.weight.normal_(generator=generator)
            if layer is first:
                layer.weight.mul_(math.sqrt(point.q0 / (size * mean_square)))
            else:
                layer.weight.sub_(layer.weight.mean(1, keepdim=True))
                layer.weight.mul_(math.sqrt(point.sigma_w2 / max(1, size - 1)))
            if layer is last:
                layer.weight.mul_(1 / math.sqrt(point.q0))
            if layer.bias is not None:
                hidden = layer is not first and layer is not last
                deviation = math.sqrt(point.sigma_b2) if hidden else 0.0
                layer.bias.normal_(generator=generator).mul_(deviation)
    return point
