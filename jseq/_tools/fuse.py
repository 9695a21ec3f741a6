"""Folding a model for inference."""

from typing import TYPE_CHECKING, Any

from jseq._tools.places import places
from jseq.core import Layer
from jseq.errors import CallError, LayerError, describe

if TYPE_CHECKING:
    from jseq._tools.fused import Fused


def fuse(model: Layer, params: Any, state: Any = None) -> "Fused":
    """Folds a model for inference: the same outputs in evaluation from fewer layers, often without state.

    `model, params, state = jseq.fuse(model, params, state)`. The arithmetic is in float64 on the host, each weight is
    rounded once.

    - batch norm (and instance norm with running statistics), `scale` and `bias` go into the linear or convolution
      layer before them, else into the one after, if that is exact: a convolution that pads with zeros sees no shift.
      One between other layers becomes a scale and a bias, which keep no state;
    - weights that are functions of params are computed: `weight_norm`, `spectral_norm`, `parametrize`, `lora`;
    - dropout, `drop_path`, `gaussian_noise`, `identity`, `remat` and `freeze` are removed;
    - positional chains inside a positional chain are flattened. Names stay.

    It looks into `sequential`, `residual`, `branch`, `parallel`, `graph`, `repeat`, `ensemble`, `in_dtype`,
    `channels_first`, `adapt` and `over_batch`; other layers are left as they are. The folded model is for
    evaluation: it has no dropout left to train with.

    Args:
        model: the model.
        params: its params, concrete arrays.
        state: its state; may be left out if the model keeps none.

    Returns:
        A `Fused`: unpacks to the model, its params and its state, and prints a report; `.rows` is the report as data.

    Raises:
        CallError: model is no layer, or keeps state and none is given.
        ParamsError: params or state of another model.

    As `torch.nn.utils.fusion.fuse_conv_bn_eval`, for whole models. `jseq.fold` is the layer `torch.nn.Fold`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.batch_norm(8), jseq.relu(), jseq.dropout())
        >>> params, state = jseq.with_state(model).init(jax.random.key(0))
        >>> folded = jseq.fuse(model, params, state)
        >>> print(folded)
        path  layer                                             what was done
        ---------------------------------------------------------------------
        1     batch_norm(num_features=8, eps=1e-05, momentu...  folded into 0
        3     dropout(p=0.5)                                    removed
        ---------------------------------------------------------------------
        params 56 -> 40, state 17 -> 0; apply it with the plain pair
        >>> model, params, state = folded
        >>> model
        jseq.sequential(jseq.linear(4, 8), jseq.relu())
        >>> model.apply(params, jnp.ones((2, 4))).shape
        (2, 8)
    """
    from jseq._tools import fused, fusing

    if not isinstance(model, Layer):
        raise CallError(f"fuse takes (model, params, state), got {describe(model)}.")
    if model.keeps_state and state is None:
        raise CallError("this model keeps state. The call that works: fuse(model, params, state).", model.brief)
    fuser = fusing.Fuser()
    try:
        made, new, after = fuser.whole(model, params, state, "")
    except LayerError as error:
        error.name(model.brief)
        raise
    order = {place.path: i for i, place in reversed(list(enumerate(places(model))))}
    rows = sorted(fuser.rows, key=lambda row: order.get(row.path, len(order)))
    before = fused.numbers(params), fused.numbers(state)
    return fused.Fused(made, new, None if state is None else after, tuple(rows), before)
