"""Quantising a model's weights for inference."""

from typing import TYPE_CHECKING, Any

from jseq._combinators.quantized import check_options
from jseq.core import Layer
from jseq.errors import CallError, LayerError, describe

if TYPE_CHECKING:
    from jseq._tools.quantization import Quantized


def quantize(
    model: Layer, params: Any, bits: int = 8, select: Any = None, *, group_size: int | None = None, exclude: Any = ()
) -> "Quantized":
    """Holds the weights of a model in 8 or 4 bits, for inference: a quarter or an eighth of the memory.

    `model, params = jseq.quantize(model, params)`. Each weight becomes integers and a scale for each output channel
    (each row of a table), `weight = q * scale`, and is made floating where it is used. Activations stay floating.
    The new model is the same model with `jseq.quantized` around layers; the paths of params stay, and `weight_scale`
    stands beside each `weight`. State is not touched: that of the model fits the quantised one.

    Weights are the params of two axes or more that are called weight: of linear, convolution (transposed too) and
    recurrent layers, attention, embeddings, and of layers of your own. Those of norms, and whatever is called
    otherwise, stay as they are. A tied weight is quantised once. Fold a model first (`jseq.fuse`): batch norm then
    goes into the weights, and those of `weight_norm` are computed.

    It looks into `sequential`, `residual`, `branch`, `parallel`, `graph`, `repeat`, `ensemble`, `over_batch`, `remat`,
    `freeze`, `in_dtype`, `channels_first`, `adapt` and `tie`; around other layers stands one `quantized`. The
    arithmetic is in float64 on the host. Training goes on for the biases and scales alone: JAX refuses gradients with
    respect to integers.

    Args:
        model: the model.
        params: its params, concrete arrays.
        bits: 8, or 4: two numbers to a byte.
        select: a selector as of `jseq.mask`, such as `encoder/**/weight`, `jseq.linear` or a predicate of (path, leaf),
            or a tuple of them: the weights to quantise. None for all.
        group_size: how many numbers along the input axis share a scale, such as 32 or 64: less error in 4 bits. None
            for one scale for each output channel.
        exclude: a selector, or a tuple of them: weights that stay all the same.

    Returns:
        A `Quantized`: unpacks to the model and its params, and prints a report; `.rows` is the report as data.

    Raises:
        CallError: model is no layer.
        OptionError: another number of bits, or a group_size below 1.
        SelectionError: a selector that selects no weight, with near misses; or there are none in the model.
        ParamsError: a weight that is not finite, with its path; or params of another model, where all sizes of this
            one are declared.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.linear(64, 128), jseq.relu(), jseq.linear(128, 10))
        >>> params = jax.jit(model.init)(jax.random.key(0))
        >>> small = jseq.quantize(model, params, exclude="2")
        >>> print(small)
        path      shape      what was done         before     after  error
        ------------------------------------------------------------------
        0.weight  (64, 128)  8 bits              32.0 KiB  8.50 KiB  0.38%
        2.weight  (128, 10)  left: not selected  5.00 KiB  5.00 KiB
        ------------------------------------------------------------------
        params 37.5 KiB -> 14.0 KiB, 2.67 times smaller
        >>> model, params = small
        >>> model[0], params[0]["weight"].dtype.name
        (jseq.quantized(jseq.linear(64, 128)), 'int8')
    """
    from jseq._tools import quantizing

    if not isinstance(model, Layer):
        raise CallError(f"quantize takes (model, params), got {describe(model)}.")
    try:
        check_options(bits, group_size)
        return quantizing.quantized_model(model, params, bits, group_size, select, exclude)
    except LayerError as error:
        error.name(model.brief)
        raise
