"""The Elman recurrence."""

import jax
import jax.numpy as jnp

from jseq.errors import OptionError
from jseq.functional.recurrent import Cell, State, Weights, run_cell, run_layer


def _tanh(x_part: jax.Array, h_part: jax.Array, state: State) -> tuple[State, State]:
    return (jnp.tanh(x_part + h_part),), ()


def _tanh_back(saved: State, y: jax.Array, dnew: State) -> tuple[State, None]:
    (dh,) = dnew
    return (dh * (1 - y * y),), None


def _relu(x_part: jax.Array, h_part: jax.Array, state: State) -> tuple[State, State]:
    return (jax.nn.relu(x_part + h_part),), ()


def _relu_back(saved: State, y: jax.Array, dnew: State) -> tuple[State, None]:
    (dh,) = dnew
    return (jnp.where(y > 0, dh, 0),), None


_CELLS = {"tanh": Cell(1, 1, _tanh, _tanh_back), "relu": Cell(1, 1, _relu, _relu_back)}


def check_nonlinearity(nonlinearity: str) -> None:
    """Refuses a nonlinearity that is neither tanh nor relu."""
    if nonlinearity not in _CELLS:
        raise OptionError(f"expected nonlinearity to be 'tanh' or 'relu', got {nonlinearity!r}.")


def rnn_cell(
    x: jax.Array,
    h: jax.Array | None,
    weight_ih: jax.Array,
    weight_hh: jax.Array,
    bias_ih: jax.Array | None = None,
    bias_hh: jax.Array | None = None,
    nonlinearity: str = "tanh",
) -> jax.Array:
    """Takes one Elman step: `h' = tanh(x weight_ih + bias_ih + h weight_hh + bias_hh)`.

    Args:
        x: the input; its dtype is the dtype of the computation.
        h: the hidden state, None for zeros.
        weight_ih: of shape (features, hidden), the transpose of torch's.
        weight_hh: of shape (hidden, hidden), the transpose of torch's.
        bias_ih, bias_hh: of shape (hidden,), or None.
        nonlinearity: "tanh" or "relu".

    Input: x (..., features), h (..., hidden).
    Output: (..., hidden).

    Raises:
        ShapeError: x, h or the weights do not fit together.
        DtypeError: x is not floating.
        OptionError: another nonlinearity.

    Follows torch.nn.RNNCell.

    >>> rnn_cell(jnp.ones((2, 3)), None, jnp.ones((3, 4)), jnp.ones((4, 4))).shape
    (2, 4)
    """
    check_nonlinearity(nonlinearity)
    state = None if h is None else (h,)
    return run_cell(_CELLS[nonlinearity], x, state, Weights(weight_ih, weight_hh, bias_ih, bias_hh))[0]


def rnn(
    x: jax.Array,
    h: jax.Array | None,
    weight_ih: jax.Array,
    weight_hh: jax.Array,
    bias_ih: jax.Array | None = None,
    bias_hh: jax.Array | None = None,
    nonlinearity: str = "tanh",
    *,
    reverse: bool = False,
    lengths: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Runs one direction of one Elman layer over time: `h[t] = tanh(x[t] W + b + h[t - 1] U + c)`.

    Reverse mode works to any order; forward mode (`jax.jvp`) does not, as the backward pass is our own.

    Args:
        x: the input; its dtype is the dtype of the computation.
        h: the initial hidden state, None for zeros.
        weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity: as in `rnn_cell`.
        reverse: runs from the last step to the first; outputs stand at their inputs' places.
        lengths: integers (...,), how many steps of each sequence count, None for all. Outputs beyond are
            zero, the final state is the one at the length, and reverse starts at each sequence's own end.

    Input: x (..., T, features), h (..., hidden).
    Output: y (..., T, hidden) and the final h (..., hidden).

    Raises:
        ShapeError: x, h, lengths or the weights do not fit together.
        DtypeError: x is not floating, or lengths are not integers.
        OptionError: another nonlinearity.

    Follows torch.nn.RNN with one layer (lengths: its packed sequences).

    >>> y, h = rnn(jnp.ones((2, 5, 3)), None, jnp.ones((3, 4)), jnp.ones((4, 4)))
    >>> y.shape, h.shape
    ((2, 5, 4), (2, 4))
    """
    check_nonlinearity(nonlinearity)
    weights = Weights(weight_ih, weight_hh, bias_ih, bias_hh)
    y, state = run_layer(_CELLS[nonlinearity], x, None if h is None else (h,), weights, reverse, lengths)
    return y, state[0]
