"""Recurrent networks over sequences: Elman's, LSTM and GRU."""

from typing import Any

from jseq import functional as F
from jseq._layers.options import at_least
from jseq._layers.recurrent_stack import Stack, recurrent_pair
from jseq.core import layer
from jseq.errors import OptionError
from jseq.functional.rnn import check_nonlinearity


@layer(context=("initial_state", "lengths"))
def rnn(
    input_size: int | None,
    hidden_size: int,
    num_layers: int = 1,
    nonlinearity: str = "tanh",
    bias: bool = True,
    dropout: float = 0.0,
    bidirectional: bool = False,
    *,
    return_state: bool = False,
):
    """Runs Elman's recurrence over time: `h[t] = tanh(x[t] W_ih + b_ih + h[t - 1] W_hh + b_hh)`.

    Args:
        input_size: size of the last axis of x; None infers it from x at `init`.
        hidden_size: size of the state.
        num_layers: how many layers stand on top of each other.
        nonlinearity: "tanh" or "relu".
        bias: whether the layers have biases.
        dropout: probability of dropping an output of every layer but the last in training, so without effect
            on one layer. With effect, training needs a key.
        bidirectional: whether a second recurrence runs backwards, its output beside the first.
        return_state: whether to return `(y, h)` instead of y alone.

    Input: `(..., T, input_size)`, floating.
    Output: `(..., T, D * hidden_size)`, of x's dtype, D the number of directions; with return_state also the
        last h `(..., num_layers * D, hidden_size)` (torch has its first two axes the other way round).
    Params: `weight_ih_l0 (input_size, hidden_size)`, `weight_hh_l0 (hidden_size, hidden_size)` (torch's,
        transposed), `bias_ih_l0`, `bias_hh_l0 (hidden_size,)`; `_l1`, ... for more layers, `_reverse` for the
        second direction.
    Context: `initial_state`, h as it is returned, zeros by default; `lengths (...)`, integers: how many steps
        of each sequence count. Outputs beyond are zero, h is the one at the length.

    Raises:
        ShapeError: x, the state or the lengths do not fit.
        DtypeError: x is not floating, or lengths are not integers.
        OptionError: a size below 1, another nonlinearity, or dropout is no probability.
        CallError: `train=True` without a key, with dropout.

    Follows `torch.nn.RNN` with batch_first=True; lengths are its packed sequences. Initial values are
    U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.rnn(3, 4, num_layers=2, bidirectional=True)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((2, 5, 3))).shape
        (2, 5, 8)
    """
    check_nonlinearity(nonlinearity)
    stack = Stack(1, 1, input_size, hidden_size, num_layers, bias, dropout, bidirectional, 0, return_state)

    def run(x: Any, state: Any, weights: Any, reverse: bool, lengths: Any) -> Any:
        h = None if state is None else state[0]
        y, last = F.rnn(x, h, *weights[:4], nonlinearity=nonlinearity, reverse=reverse, lengths=lengths)
        return y, (last,)

    return recurrent_pair(stack, run)


@layer(context=("initial_state", "lengths"))
def lstm(
    input_size: int | None,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    dropout: float = 0.0,
    bidirectional: bool = False,
    proj_size: int = 0,
    *,
    return_state: bool = False,
):
    """Runs long short-term memory over time: `c[t] = f c[t - 1] + i g`, `h[t] = o tanh(c[t])`.

    The gates i, f, g, o are the quarters of `x[t] W_ih + b_ih + h[t - 1] W_hh + b_hh`, through a sigmoid
    (i, f, o) or tanh (g). With proj_size, `h[t] = (o tanh(c[t])) W_hr`.

    Args:
        input_size: size of the last axis of x; None infers it from x at `init`.
        hidden_size: size of the cell state c, and of h unless proj_size is given.
        num_layers: how many layers stand on top of each other.
        bias: whether the layers have biases.
        dropout: probability of dropping an output of every layer but the last in training, so without effect
            on one layer. With effect, training needs a key.
        bidirectional: whether a second recurrence runs backwards, its output beside the first.
        proj_size: size of h, below hidden_size; 0 for no projection.
        return_state: whether to return `(y, (h, c))` instead of y alone.

    Input: `(..., T, input_size)`, floating.
    Output: `(..., T, D * H)`, of x's dtype, D the number of directions, H the size of h; with return_state also
        the last h `(..., num_layers * D, H)` and c `(..., num_layers * D, hidden_size)` (torch has their first
        two axes the other way round).
    Params: `weight_ih_l0 (input_size, 4 hidden_size)`, `weight_hh_l0 (H, 4 hidden_size)` (torch's, transposed,
        with its order of gates), `bias_ih_l0`, `bias_hh_l0 (4 hidden_size,)`, with proj_size `weight_hr_l0
        (hidden_size, proj_size)`; `_l1`, ... for more layers, `_reverse` for the second direction.
    Context: `initial_state`, the pair (h, c) as it is returned, zeros by default; `lengths (...)`, integers: how
        many steps of each sequence count. Outputs beyond are zero, the state is the one at the length.

    Raises:
        ShapeError: x, the state or the lengths do not fit.
        DtypeError: x is not floating, or lengths are not integers.
        OptionError: a size below 1, proj_size not below hidden_size, or dropout is no probability.
        CallError: `train=True` without a key, with dropout.

    Follows `torch.nn.LSTM` with batch_first=True (Hochreiter and Schmidhuber 1997; projection: Sak et al. 2014,
    arXiv:1402.1128); lengths are its packed sequences. Initial values are U(-1/sqrt(hidden_size),
    1/sqrt(hidden_size)).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.lstm(3, 4, return_state=True)
        >>> y, (h, c) = layer.apply(layer.init(jax.random.key(0)), jnp.ones((2, 5, 3)))
        >>> y.shape, h.shape, c.shape
        ((2, 5, 4), (2, 1, 4), (2, 1, 4))
    """
    at_least(1, hidden_size=hidden_size)
    if isinstance(proj_size, bool) or not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size:
        raise OptionError(f"proj_size must be a whole number from 0 to below hidden_size={hidden_size}, "
                          f"got {proj_size!r}.")  # fmt: skip
    stack = Stack(4, 2, input_size, hidden_size, num_layers, bias, dropout, bidirectional, proj_size, return_state)

    def run(x: Any, state: Any, weights: Any, reverse: bool, lengths: Any) -> Any:
        return F.lstm(x, state, *weights, reverse=reverse, lengths=lengths)

    return recurrent_pair(stack, run)


@layer(context=("initial_state", "lengths"))
def gru(
    input_size: int | None,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    dropout: float = 0.0,
    bidirectional: bool = False,
    *,
    return_state: bool = False,
):
    """Runs the gated recurrent unit over time: `h[t] = (1 - z) n + z h[t - 1]`.

    `r` and `z` are sigmoids of their thirds of `x[t] W_ih + b_ih + h[t - 1] W_hh + b_hh`, and
    `n = tanh(x_n + r h_n)` with the last thirds x_n and h_n of the two products.

    Args:
        input_size: size of the last axis of x; None infers it from x at `init`.
        hidden_size: size of the state.
        num_layers: how many layers stand on top of each other.
        bias: whether the layers have biases.
        dropout: probability of dropping an output of every layer but the last in training, so without effect
            on one layer. With effect, training needs a key.
        bidirectional: whether a second recurrence runs backwards, its output beside the first.
        return_state: whether to return `(y, h)` instead of y alone.

    Input: `(..., T, input_size)`, floating.
    Output: `(..., T, D * hidden_size)`, of x's dtype, D the number of directions; with return_state also the
        last h `(..., num_layers * D, hidden_size)` (torch has its first two axes the other way round).
    Params: `weight_ih_l0 (input_size, 3 hidden_size)`, `weight_hh_l0 (hidden_size, 3 hidden_size)` (torch's,
        transposed, with its order of gates), `bias_ih_l0`, `bias_hh_l0 (3 hidden_size,)`; `_l1`, ... for more
        layers, `_reverse` for the second direction.
    Context: `initial_state`, h as it is returned, zeros by default; `lengths (...)`, integers: how many steps
        of each sequence count. Outputs beyond are zero, h is the one at the length.

    Raises:
        ShapeError: x, the state or the lengths do not fit.
        DtypeError: x is not floating, or lengths are not integers.
        OptionError: a size below 1, or dropout is no probability.
        CallError: `train=True` without a key, with dropout.

    Follows `torch.nn.GRU` with batch_first=True (Cho et al. 2014, arXiv:1406.1078); lengths are its packed
    sequences. Initial values are U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.gru(3, 4)
        >>> params = layer.init(jax.random.key(0))
        >>> layer.apply(params, jnp.ones((2, 5, 3)), context={"lengths": jnp.array([5, 2])})[1, 2:]
        Array([[0., 0., 0., 0.],
               [0., 0., 0., 0.],
               [0., 0., 0., 0.]], dtype=float32)
    """
    stack = Stack(3, 1, input_size, hidden_size, num_layers, bias, dropout, bidirectional, 0, return_state)

    def run(x: Any, state: Any, weights: Any, reverse: bool, lengths: Any) -> Any:
        y, last = F.gru(x, None if state is None else state[0], *weights[:4], reverse=reverse, lengths=lengths)
        return y, (last,)

    return recurrent_pair(stack, run)
