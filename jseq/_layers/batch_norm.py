"""Batch normalisation: the layer that keeps state."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jseq import functional as F
from jseq._layers.affine import Tree, affine_of, affine_params, expect_channels, running_statistics
from jseq._layers.initial import inferred
from jseq._layers.options import inferable
from jseq.core import layer


@layer
def batch_norm(
    num_features: int | None,
    eps: float = 1e-5,
    momentum: float | None = 0.1,
    affine: bool = True,
    track_running_stats: bool = True,
    *,
    bias: bool = True,
    axis_name: str | tuple[str, ...] | None = None,
):
    """Normalises each channel over all other axes: `y = (x - mean) / sqrt(var + eps) * weight + bias`.

    In training the statistics are those of the batch (biased variance), and the running ones move
    towards them: `running = (1 - momentum) * running + momentum * batch` (unbiased variance). In
    evaluation the running ones are used. The variance is the mean of squared differences from the
    mean, computed in float32 for half-precision input: it stays right at mean 1e4, std 1.

    Args:
        num_features: size of the last axis, the channels; None infers it from x at `init`.
        eps: added to the variance.
        momentum: weight of the new value; None averages over all batches seen, equally.
        affine: whether to learn weight and bias.
        track_running_stats: without it the batch's statistics are used in evaluation too.
        bias: whether the affine map has a bias.
        axis_name: mapped axis (of `shard_map` or `vmap`) to average the statistics over as well: torch's
            SyncBatchNorm. Sharded arrays under plain jit need nothing.

    Input: `(..., num_features)`, floating: `(N, C)`, `(N, T, C)`, `(N, H, W, C)`, ...
    Output: the same shape and dtype.
    Params: `weight (C,)` ones, `bias (C,)` zeros; `()` without `affine`.
    State: `running_mean (C,)` zeros, `running_var (C,)` ones, `num_batches_tracked ()`.
        Without `track_running_stats` the layer keeps none. No gradient flows into the new state, as in torch.

    Raises:
        ShapeError: the last axis of x is not `num_features`, or one value a channel in training.
        DtypeError: x is not floating.

    Follows `torch.nn.BatchNorm1d`, `2d`, `3d` and `SyncBatchNorm` (Ioffe and Szegedy 2015, arXiv:1502.03167).
    Under `vmap` each member is a batch of its own, so a single example in training is refused.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> init, apply = jseq.with_state(jseq.batch_norm(1))
        >>> params, state = init(jax.random.key(0))
        >>> y, state = apply(params, state, jnp.array([[1.0], [3.0]]), train=True)
        >>> y.shape, state["num_batches_tracked"].item(), state["running_mean"].shape
        ((2, 1), 1, (1,))
    """
    inferable(num_features=num_features)

    def init(key: jax.Array, x: Any) -> tuple[Any, Tree]:
        size = inferred(num_features, "num_features", x)
        return affine_params(size, affine, bias), running_statistics(size)

    def apply(params: Any, state: Tree, x: jax.Array, train: bool) -> tuple[jax.Array, Tree]:
        count = state["num_batches_tracked"] + (1 if train else 0)
        share = 1 / jnp.maximum(count, 1).astype(state["running_mean"].dtype) if momentum is None else momentum
        y, mean, var = F.batch_norm(
            x, state["running_mean"], state["running_var"], *affine_of(params),
            train=train, momentum=share, eps=eps, axis_name=axis_name,
        )  # fmt: skip
        if not train or mean is None or var is None:
            return y, state
        # torch computes them without autograd, so that a loss cannot reach through them into earlier batches.
        mean, var = lax.stop_gradient((mean, var))
        return y, {"running_mean": mean, "running_var": var, "num_batches_tracked": count}

    def init_untracked(key: jax.Array, x: Any) -> Any:
        return affine_params(inferred(num_features, "num_features", x), affine, bias)

    def apply_untracked(params: Any, x: jax.Array) -> jax.Array:
        expect_channels(x, num_features)
        return F.batch_norm(x, None, None, *affine_of(params), eps=eps, axis_name=axis_name)[0]

    return (init, apply) if track_running_stats else (init_untracked, apply_untracked)
