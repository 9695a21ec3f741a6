"""Long short-term memory."""

import jax
import jax.numpy as jnp

from jseq.functional.recurrent import Cell, State, Weights, run_cell, run_layer


def _forward(x_part: jax.Array, h_part: jax.Array, state: State) -> tuple[State, State]:
    i, f, g, o = jnp.split(x_part + h_part, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    old = state[1]
    c = f * old + i * g
    squashed = jnp.tanh(c)
    return (o * squashed, c), (i, f, g, o, old, squashed)


def _backward(saved: State, y: jax.Array, dnew: State) -> tuple[State, None, jax.Array]:
    i, f, g, o, old, squashed = saved
    dh, dc = dnew
    dc = dc + dh * o * (1 - squashed * squashed)
    di, df, dg = dc * g * i * (1 - i), dc * old * f * (1 - f), dc * i * (1 - g * g)
    dparts = jnp.concatenate([di, df, dg, dh * squashed * o * (1 - o)], axis=-1)
    return (dparts,), None, dc * f


_CELL = Cell(4, 2, _forward, _backward)


def lstm_cell(
    x: jax.Array,
    state: tuple[jax.Array, jax.Array] | None,
    weight_ih: jax.Array,
    weight_hh: jax.Array,
    bias_ih: jax.Array | None = None,
    bias_hh: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Takes one LSTM step: `c' = f c + i g`, `h' = o tanh(c')`.

    The gates `i, f, g, o` are the four quarters of `x weight_ih + bias_ih + h weight_hh + bias_hh`, through
    a sigmoid (i, f, o) or tanh (g).

    Args:
        x: the input; its dtype is the dtype of the computation.
        state: the pair (h, c), None for zeros.
        weight_ih: of shape (features, 4 * hidden), the transpose of torch's.
        weight_hh: of shape (hidden, 4 * hidden), the transpose of torch's.
        bias_ih, bias_hh: of shape (4 * hidden,), or None.

    Input: x (..., features), h and c (..., hidden).
    Output: the new pair (h, c).

    Raises:
        ShapeError: x, the state or the weights do not fit together.
        DtypeError: x is not floating.

    Follows torch.nn.LSTMCell.

    >>> h, c = lstm_cell(jnp.ones((2, 3)), None, jnp.ones((3, 16)), jnp.ones((4, 16)))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """
    h, c = run_cell(_CELL, x, state, Weights(weight_ih, weight_hh, bias_ih, bias_hh))
    return h, c


def lstm(
    x: jax.Array,
    state: tuple[jax.Array, jax.Array] | None,
    weight_ih: jax.Array,
    weight_hh: jax.Array,
    bias_ih: jax.Array | None = None,
    bias_hh: jax.Array | None = None,
    weight_hr: jax.Array | None = None,
    *,
    reverse: bool = False,
    lengths: jax.Array | None = None,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Runs one direction of one LSTM layer over time, each step as in `lstm_cell`.

    With weight_hr the hidden state is projected: `h = (o tanh(c)) weight_hr`.
    Reverse mode works to any order; forward mode (`jax.jvp`) does not, as the backward pass is our own.

    Args:
        x: the input; its dtype is the dtype of the computation.
        state: the initial pair (h, c), None for zeros.
        weight_ih, bias_ih, bias_hh: as in `lstm_cell`.
        weight_hh: of shape (proj or hidden, 4 * hidden).
        weight_hr: of shape (hidden, proj), the transpose of torch's, or None.
        reverse: runs from the last step to the first; outputs stand at their inputs' places.
        lengths: integers (...,), how many steps of each sequence count, None for all. Outputs beyond are
            zero, the final state is the one at the length, and reverse starts at each sequence's own end.

    Input: x (..., T, features), h (..., proj or hidden), c (..., hidden).
    Output: y (..., T, proj or hidden) and the final pair (h, c).

    Raises:
        ShapeError: x, the state, lengths or the weights do not fit together.
        DtypeError: x is not floating, or lengths are not integers.

    Follows torch.nn.LSTM with one layer (lengths: its packed sequences).

    >>> y, (h, c) = lstm(jnp.ones((2, 5, 3)), None, jnp.ones((3, 16)), jnp.ones((4, 16)))
    >>> y.shape, h.shape, c.shape
    ((2, 5, 4), (2, 4), (2, 4))
    """
    weights = Weights(weight_ih, weight_hh, bias_ih, bias_hh, weight_hr)
    y, (h, c) = run_layer(_CELL, x, state, weights, reverse, lengths)
    return y, (h, c)
