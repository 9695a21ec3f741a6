"""Normalisation of each channel of each example, over one, two or three spatial axes."""

from typing import Any

import jax
from jax import lax

from jseq import functional as F
from jseq._layers.affine import Tree, affine_of, affine_params, expect_channels, running_statistics
from jseq._layers.initial import inferred
from jseq._layers.options import inferable
from jseq.core import layer, no_params
from jseq.errors import OptionError


def instances(
    n: int,
    num_features: int | None,
    eps: float,
    momentum: float | None,
    affine: bool,
    track_running_stats: bool,
    bias: bool,
) -> Any:
    """The pair of instance_norm1d, 2d and 3d; `n` is the number of spatial axes."""
    inferable(num_features=num_features)
    if momentum is None:
        raise OptionError("momentum must be a number, got None. torch reads None as 0 here, which keeps the running "
                          "statistics at their start: write momentum=0.0 if that is meant.")  # fmt: skip

    def init(key: jax.Array, x: Any) -> Any:
        return affine_params(inferred(num_features, "num_features", x), affine, bias)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        expect_channels(x, num_features)
        return F.instance_norm(x, n, None, None, *affine_of(params), eps=eps)[0]

    def init_tracked(key: jax.Array, x: Any) -> tuple[Any, Tree]:
        return init(key, x), running_statistics(inferred(num_features, "num_features", x))

    def apply_tracked(params: Any, state: Tree, x: jax.Array, train: bool) -> tuple[jax.Array, Tree]:
        y, mean, var = F.instance_norm(
            x, n, state["running_mean"], state["running_var"], *affine_of(params),
            use_input_stats=train, momentum=momentum, eps=eps,
        )  # fmt: skip
        if not train or mean is None or var is None:
            return y, state
        # torch computes them without autograd, so that a loss cannot reach through them into earlier batches.
        mean, var = lax.stop_gradient((mean, var))
        return y, {**state, "running_mean": mean, "running_var": var}

    if track_running_stats:
        return init_tracked, apply_tracked
    return init if affine else no_params, apply


@layer
def instance_norm1d(
    num_features: int | None,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = False,
    track_running_stats: bool = False,
    *,
    bias: bool = True,
):
    """Normalises each channel of each sequence over its length: `y = (x - mean) / sqrt(var + eps) * weight + bias`.

    The variance is the biased one. With `track_running_stats` training moves running statistics towards the
    mean over the batch of the means and of the unbiased variances,
    `running = (1 - momentum) * running + momentum * new`, and evaluation uses them.

    Args:
        num_features: size of the last axis, the channels; None infers it from x at `init`.
        eps: added to the variance.
        momentum: weight of the new value in the running statistics.
        affine: whether to learn weight and bias (torch's `LazyInstanceNorm1d` does so by default).
        track_running_stats: whether to keep running statistics; without them the layer is a plain pair that
            does the same in training and evaluation.
        bias: whether the affine map has a bias.

    Input: `(..., T, num_features)`, floating. Statistics are float32 for half-precision input.
    Output: the same shape and dtype.
    Params: `weight (num_features,)` ones, `bias (num_features,)` zeros; `()` without `affine`.
    State: with `track_running_stats` alone: `running_mean (num_features,)` zeros, `running_var (num_features,)`
        ones, and `num_batches_tracked ()`, which stays 0: torch has it in the state dict and never counts
        there either. No gradient flows into the new state.

    Raises:
        ShapeError: x has too few axes or other channels, or a single spatial element.
        DtypeError: x is not floating.
        OptionError: a size below 1, or no momentum.

    Follows `torch.nn.InstanceNorm1d`, with the channels last (Ulyanov et al. 2016, arXiv:1607.08022).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> x = jnp.array([1.0, 3.0]).reshape(2, 1)
        >>> jseq.instance_norm1d(1).apply((), x).round(2).ravel()
        Array([-1.,  1.], dtype=float32)
    """
    return instances(1, num_features, eps, momentum, affine, track_running_stats, bias)


@layer
def instance_norm2d(
    num_features: int | None,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = False,
    track_running_stats: bool = False,
    *,
    bias: bool = True,
):
    """Normalises each channel of each image over its pixels: `y = (x - mean) / sqrt(var + eps) * weight + bias`.

    The variance is the biased one. With `track_running_stats` training moves running statistics towards the
    mean over the batch of the means and of the unbiased variances,
    `running = (1 - momentum) * running + momentum * new`, and evaluation uses them.

    Args:
        num_features: size of the last axis, the channels; None infers it from x at `init`.
        eps: added to the variance.
        momentum: weight of the new value in the running statistics.
        affine: whether to learn weight and bias (torch's `LazyInstanceNorm2d` does so by default).
        track_running_stats: whether to keep running statistics; without them the layer is a plain pair that
            does the same in training and evaluation.
        bias: whether the affine map has a bias.

    Input: `(..., H, W, num_features)`, floating. Statistics are float32 for half-precision input.
    Output: the same shape and dtype.
    Params: `weight (num_features,)` ones, `bias (num_features,)` zeros; `()` without `affine`.
    State: with `track_running_stats` alone: `running_mean (num_features,)` zeros, `running_var (num_features,)`
        ones, and `num_batches_tracked ()`, which stays 0: torch has it in the state dict and never counts
        there either. No gradient flows into the new state.

    Raises:
        ShapeError: x has too few axes or other channels, or a single spatial element.
        DtypeError: x is not floating.
        OptionError: a size below 1, or no momentum.

    Follows `torch.nn.InstanceNorm2d`, with the channels last (Ulyanov et al. 2016, arXiv:1607.08022).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> x = jnp.array([1.0, 3.0]).reshape(1, 2, 1)
        >>> jseq.instance_norm2d(1).apply((), x).round(2).ravel()
        Array([-1.,  1.], dtype=float32)
    """
    return instances(2, num_features, eps, momentum, affine, track_running_stats, bias)


@layer
def instance_norm3d(
    num_features: int | None,
    eps: float = 1e-5,
    momentum: float = 0.1,
    affine: bool = False,
    track_running_stats: bool = False,
    *,
    bias: bool = True,
):
    """Normalises each channel of each volume over its voxels: `y = (x - mean) / sqrt(var + eps) * weight + bias`.

    The variance is the biased one. With `track_running_stats` training moves running statistics towards the
    mean over the batch of the means and of the unbiased variances,
    `running = (1 - momentum) * running + momentum * new`, and evaluation uses them.

    Args:
        num_features: size of the last axis, the channels; None infers it from x at `init`.
        eps: added to the variance.
        momentum: weight of the new value in the running statistics.
        affine: whether to learn weight and bias (torch's `LazyInstanceNorm3d` does so by default).
        track_running_stats: whether to keep running statistics; without them the layer is a plain pair that
            does the same in training and evaluation.
        bias: whether the affine map has a bias.

    Input: `(..., D, H, W, num_features)`, floating. Statistics are float32 for half-precision input.
    Output: the same shape and dtype.
    Params: `weight (num_features,)` ones, `bias (num_features,)` zeros; `()` without `affine`.
    State: with `track_running_stats` alone: `running_mean (num_features,)` zeros, `running_var (num_features,)`
        ones, and `num_batches_tracked ()`, which stays 0: torch has it in the state dict and never counts
        there either. No gradient flows into the new state.

    Raises:
        ShapeError: x has too few axes or other channels, or a single spatial element.
        DtypeError: x is not floating.
        OptionError: a size below 1, or no momentum.

    Follows `torch.nn.InstanceNorm3d`, with the channels last (Ulyanov et al. 2016, arXiv:1607.08022).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> x = jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)
        >>> jseq.instance_norm3d(1).apply((), x).round(2).ravel()
        Array([-1.,  1.], dtype=float32)
    """
    return instances(3, num_features, eps, momentum, affine, track_running_stats, bias)
