"""The gated recurrent unit."""

import jax
import jax.numpy as jnp

from jseq.functional.recurrent import Cell, State, Weights, run_cell, run_layer


def _forward(x_part: jax.Array, h_part: jax.Array, state: State) -> tuple[State, State]:
    (xr, xz, xn), (hr, hz, hn) = jnp.split(x_part, 3, axis=-1), jnp.split(h_part, 3, axis=-1)
    r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + r * hn)
    gap = state[0] - n
    return (n + z * gap,), (r, z, n, hn, gap)


def _backward(saved: State, y: jax.Array, dnew: State) -> tuple[State, jax.Array]:
    (r, z, n, hn, gap), (dh,) = saved, dnew
    dn = dh * (1 - z) * (1 - n * n)
    dr, dz = dn * hn * r * (1 - r), dh * gap * z * (1 - z)
    dparts = jnp.concatenate([dr, dz, dn], axis=-1), jnp.concatenate([dr, dz, dn * r], axis=-1)
    return dparts, dh * z


_CELL = Cell(3, 1, _forward, _backward)


def gru_cell(
    x: jax.Array,
    h: jax.Array | None,
    weight_ih: jax.Array,
    weight_hh: jax.Array,
    bias_ih: jax.Array | None = None,
    bias_hh: jax.Array | None = None,
) -> jax.Array:
    """Takes one GRU step: `h' = (1 - z) n + z h`, `n = tanh(x_n + r h_n)`.

    `x_r, x_z, x_n` are the thirds of `x weight_ih + bias_ih`, `h_r, h_z, h_n` those of
    `h weight_hh + bias_hh`; `r = sigmoid(x_r + h_r)`, `z = sigmoid(x_z + h_z)`.

    Args:
        x: the input; its dtype is the dtype of the computation.
        h: the hidden state, None for zeros.
        weight_ih: of shape (features, 3 * hidden), the transpose of torch's.
        weight_hh: of shape (hidden, 3 * hidden), the transpose of torch's.
        bias_ih, bias_hh: of shape (3 * hidden,), or None.

    Input: x (..., features), h (..., hidden).
    Output: (..., hidden).

    Raises:
        ShapeError: x, h or the weights do not fit together.
        DtypeError: x is not floating.

    Follows torch.nn.GRUCell: the reset gate multiplies the product of h, not h itself.

    >>> gru_cell(jnp.ones((2, 3)), None, jnp.ones((3, 12)), jnp.ones((4, 12))).shape
    (2, 4)
    """
    state = None if h is None else (h,)
    return run_cell(_CELL, x, state, Weights(weight_ih, weight_hh, bias_ih, bias_hh))[0]


def gru(
    x: jax.Array,
    h: jax.Array | None,
    weight_ih: jax.Array,
    weight_hh: jax.Array,
    bias_ih: jax.Array | None = None,
    bias_hh: jax.Array | None = None,
    *,
    reverse: bool = False,
    lengths: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Runs one direction of one GRU layer over time, each step as in `gru_cell`.

    Reverse mode works to any order; forward mode (`jax.jvp`) does not, as the backward pass is our own.

    Args:
        x: the input; its dtype is the dtype of the computation.
        h: the initial hidden state, None for zeros.
        weight_ih, weight_hh, bias_ih, bias_hh: as in `gru_cell`.
        reverse: runs from the last step to the first; outputs stand at their inputs' places.
        lengths: integers (...,), how many steps of each sequence count, None for all. Outputs beyond are
            zero, the final state is the one at the length, and reverse starts at each sequence's own end.

    Input: x (..., T, features), h (..., hidden).
    Output: y (..., T, hidden) and the final h (..., hidden).

    Raises:
        ShapeError: x, h, lengths or the weights do not fit together.
        DtypeError: x is not floating, or lengths are not integers.

    Follows torch.nn.GRU with one layer (lengths: its packed sequences).

    >>> y, h = gru(jnp.ones((2, 5, 3)), None, jnp.ones((3, 12)), jnp.ones((4, 12)))
    >>> y.shape, h.shape
    ((2, 5, 4), (2, 4))
    """
    weights = Weights(weight_ih, weight_hh, bias_ih, bias_hh)
    y, state = run_layer(_CELL, x, None if h is None else (h,), weights, reverse, lengths)
    return y, state[0]
