"""Tables of vectors, looked up by ids."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq._layers.initial import Initializer
from jseq._layers.options import positive
from jseq.core import layer
from jseq.functional.embedding import check_padding_idx


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
        max_norm: rows with a larger norm are scaled down to it on the way out (torch also writes them back).
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
    positive(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
    padding = check_padding_idx(padding_idx, num_embeddings)

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        weight = (weight_init or jax.random.normal)(key, (num_embeddings, embedding_dim))
        return {"weight": weight if padding is None else weight.at[padding].set(0)}

    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return F.embedding(x, params["weight"], padding_idx, max_norm, norm_type, scale_grad_by_freq)

    return init, apply
