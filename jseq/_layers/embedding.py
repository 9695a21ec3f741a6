"""Tables of vectors, looked up by ids."""

from typing import Any

import jax

from jseq import functional as F
from jseq._layers.initial import Initializer
from jseq._layers.options import at_least
from jseq.core import layer
from jseq.errors import OptionError
from jseq.functional.drawing import drawn
from jseq.functional.embedding import check_padding_idx
from jseq.functional.embedding_bag import check_mode


@layer
def embedding(
    num_embeddings: int,
    embedding_dim: int,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    *,
    weight_init: Initializer | None = None,
):
    """Looks ids up in a table of vectors: `y[...] = weight[x[...]]`.

    Args:
        num_embeddings: number of rows; ids are below it. An id outside gives NaN: jit cannot raise.
        embedding_dim: size of a vector.
        padding_idx: the row of this id starts at zero and gets no gradient; negative counts from the end.
        max_norm: rows with a larger norm are scaled down to it on the way out. torch writes them back into the
            table and takes the gradient there; here the table stays, and the gradient is that of y.
        norm_type: p of that norm.
        scale_grad_by_freq: divides a row's gradient by how often its id stands in x.
        weight_init: `(key, shape, dtype) -> array`; None draws from N(0, 1), as torch does.

    Input: `(...)`, integer ids.
    Output: `(..., embedding_dim)`, of the table's dtype: cast the table for half precision.
    Params: `weight (num_embeddings, embedding_dim)`.

    Raises:
        DtypeError: x is not integer.
        OptionError: a size below 1, or padding_idx outside the table.

    Follows `torch.nn.Embedding`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.embedding(10, 3)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([[1, 2], [4, 5]])).shape
        (2, 2, 3)
    """
    at_least(1, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
    check_padding_idx(padding_idx, num_embeddings)

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        return table(weight_init, key, num_embeddings, embedding_dim, padding_idx)

    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return F.embedding(x, params["weight"], padding_idx, max_norm, norm_type, scale_grad_by_freq)

    return init, apply


@layer(context=("offsets", "per_sample_weights"))
def embedding_bag(
    num_embeddings: int,
    embedding_dim: int,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    *,
    weight_init: Initializer | None = None,
):
    """Looks up the rows of each bag of ids and reduces them: `y = sum, mean or max of weight[x[...]]`.

    An empty bag gives 0. Bags of one length are the last axis of x. Bags of different lengths stand one after
    the other in a row of ids, and `offsets` in the context says where each starts; in a chain, only where the
    bag is the first layer. Gradients flow into `per_sample_weights` as into any other array of the context.

    Args:
        num_embeddings: number of rows; ids are below it. An id outside gives NaN: jit cannot raise.
        embedding_dim: size of a vector.
        max_norm: rows with a larger norm are scaled down to it on the way out, as in `embedding`.
        norm_type: p of that norm.
        scale_grad_by_freq: divides a row's gradient by how often its id stands in x; not for "max".
        mode: "sum", "mean" or "max". Among equal largest values "max" shares the gradient equally.
        include_last_offset: whether `offsets` ends with the number of ids: one bag fewer.
        padding_idx: an id that does not count; its row starts at zero. Negative counts from the end.
        weight_init: `(key, shape, dtype) -> array`; None draws from N(0, 1), as torch does.

    Input: `(..., L)`, integer ids; `(N,)` with offsets.
    Output: `(..., embedding_dim)`, or `(bags, embedding_dim)` with offsets; of the table's dtype.
    Params: `weight (num_embeddings, embedding_dim)`.
    Context: `offsets (bags,)`, integer, ascending from 0; `per_sample_weights`, of x's shape, floating: factors
        of the rows, for mode "sum" alone.

    Raises:
        DtypeError: x is not integer.
        ShapeError: x has no axis, more than one with offsets, or another shape than its weights.
        OptionError: a size below 1, padding_idx outside the table, an unknown mode, weights or frequencies in a
            mode that takes none.

    Follows `torch.nn.EmbeddingBag`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.embedding_bag(10, 3, mode="sum")
        >>> params = layer.init(jax.random.key(0))
        >>> layer.apply(params, jnp.array([[1, 2, 4], [4, 3, 2]])).shape
        (2, 3)
        >>> layer.apply(params, jnp.array([1, 2, 4, 5]), context={"offsets": jnp.array([0, 1, 1])}).shape
        (3, 3)
    """
    at_least(1, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
    check_padding_idx(padding_idx, num_embeddings)
    check_mode(mode)
    if mode == "max" and scale_grad_by_freq:
        raise OptionError('expected mode "sum" or "mean" with scale_grad_by_freq=True, got mode="max".')

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        return table(weight_init, key, num_embeddings, embedding_dim, padding_idx)

    def apply(params: dict[str, jax.Array], x: jax.Array, context: dict[str, jax.Array]) -> jax.Array:
        return F.embedding_bag(
            x, params["weight"], mode, context.get("offsets"), context.get("per_sample_weights"),
            padding_idx, max_norm, norm_type, scale_grad_by_freq, include_last_offset,
        )  # fmt: skip

    return init, apply


def table(
    weight_init: Initializer | None, key: jax.Array, rows: int, features: int, padding_idx: int | None
) -> dict[str, jax.Array]:
    """The params of an embedding: N(0, 1) unless told otherwise, and zeros in the row of padding."""
    shape = (rows, features)
    weight = weight_init(key, shape) if weight_init else drawn(jax.random.normal, key, shape)
    padding = check_padding_idx(padding_idx, rows)
    return {"weight": weight if padding is None else weight.at[padding].set(0)}
