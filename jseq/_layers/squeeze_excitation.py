"""Squeeze and excitation: every channel is weighed by what all of the image says."""

from collections.abc import Callable
from typing import Any

import jax

from jseq import functional as F
from jseq._layers.convolving import window_params
from jseq._layers.initial import Initializer, inferred
from jseq._layers.options import at_least, inferable
from jseq.core import Layer, is_constructor, layer
from jseq.errors import OptionError
from jseq.functional.windows import expect_spatial

Params = dict[str, dict[str, jax.Array]]
Function = Callable[[jax.Array], jax.Array]


@layer
def squeeze_excitation(
    channels: int | None,
    reduction: int = 16,
    activation: Function = jax.nn.relu,
    scale_activation: Function = jax.nn.sigmoid,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
):
    """Weighs the channels of an image by a small network on their means: `y = x * sigmoid(fc2(relu(fc1(mean(x)))))`.

    fc1 has `max(1, channels // reduction)` outputs, fc2 has `channels`; both are 1x1 convolutions.

    Args:
        channels: size of the last axis of x; None infers it from x at `init`.
        reduction: how many times smaller the layer in the middle is.
        activation: function of one array between the two, such as `jax.nn.silu`.
        scale_activation: function of one array that makes the weights, such as `jax.nn.hard_sigmoid`.
        weight_init: `(key, shape, dtype) -> array`, for both weights; None is torch's
            `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`, with the fan-in of each.
        bias_init: the same for both biases.

    Input: `(..., H, W, channels)`, floating.
    Output: the same shape and dtype.
    Params: `fc1.weight (1, 1, channels, squeezed)`, `fc1.bias`, `fc2.weight (1, 1, squeezed, channels)`, `fc2.bias`.

    Raises:
        ShapeError: x has too few axes or other channels, or an image without pixels.
        DtypeError: x is not floating.
        OptionError: a size below 1, an activation that is no function of an array.

    Follows `torchvision.ops.SqueezeExcitation`, whose second argument is `squeezed` itself
    (Hu et al. 2018, arXiv:1709.01507).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.squeeze_excitation(64, 4)
        >>> params = layer.init(jax.random.key(0))
        >>> params["fc1"]["weight"].shape, params["fc2"]["weight"].shape
        ((1, 1, 64, 16), (1, 1, 16, 64))
        >>> layer.apply(params, jnp.ones((8, 7, 7, 64))).shape
        (8, 7, 7, 64)
    """
    inferable(channels=channels)
    at_least(1, reduction=reduction)
    check_function("activation", activation)
    check_function("scale_activation", scale_activation)
    initializers = (weight_init, bias_init)

    def init(key: jax.Array, x: Any) -> Params:
        size = inferred(channels, "channels", x)
        squeezed = max(1, size // reduction)
        first, second = jax.random.split(key)
        return {
            "fc1": window_params(first, (1, 1, size, squeezed), size, True, initializers),
            "fc2": window_params(second, (1, 1, squeezed, size), squeezed, True, initializers),
        }

    def apply(params: Params, x: jax.Array) -> jax.Array:
        expect_spatial(x, 2, params["fc2"]["weight"].shape[-1])
        mean = F.adaptive_avg_pool2d(x, 1)
        hidden = activation(F.conv2d(mean, params["fc1"]["weight"], params["fc1"]["bias"]))
        return x * scale_activation(F.conv2d(hidden, params["fc2"]["weight"], params["fc2"]["bias"]))

    return init, apply


def check_function(name: str, function: Any) -> None:
    """Refuses what is no function of an array; layers and their constructors are none."""
    if not callable(function) or isinstance(function, Layer) or is_constructor(function):
        raise OptionError(f"{name} must be a function of one array, such as jax.nn.relu, got {function!r:.60}.")
