"""Critical initialisation: weights and biases that keep the length of signals and of gradients.

A net of any continuous activation f can be made critical once f is centred. By the Gaussian
Poincare inequality Var f <= E f'^2, so that

    sigma_w^2 = 1 / E f'(sqrt(q0) z)^2    and    sigma_b^2 = q0 - sigma_w^2 Var f(sqrt(q0) z) >= 0

keep both the variance q0 of the pre-activations and the variance of the gradient. Centring is a
matter of the weights alone: without the mean of each unit's incoming weights, what all inputs have
in common, the mean of f, cancels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actcompare.activations.gaussian import Array, Curve, Moments, crossings, moments
from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.errors import ActcompareError, UsageError

LENGTHS = (1.0, 3.0, 10.0, 30.0)
"""The variances q0 that are tried, in this order."""

STEEPEST = 0.9
"""Largest slope of the length map at q0, so that a deviation from q0 shrinks by a tenth a layer."""

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
    if not curve.continuous:
        raise ActcompareError(
            f"{curve.label} jumps, so its derivative does not say how signals spread: it has no"
            " critical initialisation; use --init kaiming"
        )
    for q0 in LENGTHS:
        at = moments(curve, q0)
        if not 0 < at.d2[0] < math.inf:
            continue
        found = _at_length(q0, at)
        if found.slope <= STEEPEST and _is_clear(curve, float(at.f[0]), found):
            return found
    raise ActcompareError(
        f"{curve.label} has no stable critical initialisation: signals return to none of the"
        f" variances tried, {', '.join(f'{q0:g}' for q0 in LENGTHS)}; use --init kaiming"
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

    The variance of the pre-activations becomes q0, in the mean over the data, in each hidden layer,
    and 1 in the output; q0 is the least of 1, 3, 10 and 30 to which signals return (a larger one
    lets softplus bend less). The function class of the model does not change.

    Args:
        model: Linear layers with one elementwise activation between them; other modules without
            parameters, such as nn.Dropout and nn.Flatten, may be among them.
        activation: The activation, as a SPEC, a function or a module.
        data: Inputs of the first layer, shape (sample, ...).
        generator: Random generator; by default torch's own.

    Raises:
        UsageError: There is not exactly one activation, or the model is no such stack.
        ActcompareError: The activation has no critical initialisation, or the data are all 0.
    """
    activations = parse_all(activation)
    if len(activations) != 1:
        raise UsageError(f"one activation, not {len(activations)}")
    layers = _linear_layers(model)
    square = float(data.detach().double().square().mean())
    return draw_critical_(layers, activations[0], square, generator)


def _linear_layers(model: nn.Module) -> list[nn.Linear]:
    leaves = [(name, leaf) for name, leaf in model.named_modules() if not [*leaf.children()]]
    for name, leaf in leaves:
        own = [*leaf.parameters(recurse=False), *leaf.buffers(recurse=False)]
        if own and not isinstance(leaf, nn.Linear | nn.PReLU):
            raise UsageError(
                f"{name or 'the model'} is {type(leaf).__name__}: critical initialisation is for"
                " plain stacks of nn.Linear and activations"
            )
    layers = [leaf for _, leaf in leaves if isinstance(leaf, nn.Linear)]
    if len(layers) < 2:
        raise UsageError(f"linear layers in the model: {len(layers)}; at least 2 are needed")
    return layers


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
