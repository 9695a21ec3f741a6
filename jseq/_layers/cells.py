"""Single steps of recurrent networks."""

from collections.abc import Callable
from typing import Any

import jax

from jseq import functional as F
from jseq._layers.initial import draw, inferred
from jseq._layers.options import at_least, inferable
from jseq.core import layer
from jseq.errors import DtypeError, describe
from jseq.functional.rnn import check_nonlinearity


@layer
def rnn_cell(input_size: int | None, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh"):
    """Takes one step of Elman's recurrence: `h' = tanh(x W_ih + b_ih + h W_hh + b_hh)`.

    Args:
        input_size: size of the last axis of x; None infers it from x at `init`.
        hidden_size: size of the state.
        bias: whether to add biases.
        nonlinearity: "tanh" or "relu".

    Input: `(..., input_size)`, h then being zeros, or `(x, h)` with h `(..., hidden_size)`; floating.
    Output: h', `(..., hidden_size)`, of x's dtype.
    Params: `weight_ih (input_size, hidden_size)`, `weight_hh (hidden_size, hidden_size)` (torch's, transposed),
        `bias_ih`, `bias_hh (hidden_size,)`.

    Raises:
        ShapeError: x or h does not fit.
        DtypeError: x is not floating, or a tuple of another length.
        OptionError: a size below 1, or another nonlinearity.

    Follows `torch.nn.RNNCell`. Initial values are U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.rnn_cell(3, 4)
        >>> params = layer.init(jax.random.key(0))
        >>> h = layer.apply(params, jnp.ones((2, 3)))
        >>> layer.apply(params, (jnp.ones((2, 3)), h)).shape
        (2, 4)
    """
    check_nonlinearity(nonlinearity)

    def apply(params: dict[str, jax.Array], x: Any) -> jax.Array:
        return F.rnn_cell(*input_and_state(x, "h"), **params, nonlinearity=nonlinearity)

    return cell_init(1, input_size, hidden_size, bias), apply


@layer
def lstm_cell(input_size: int | None, hidden_size: int, bias: bool = True):
    """Takes one step of long short-term memory: `c' = f c + i g`, `h' = o tanh(c')`.

    The gates i, f, g, o are the quarters of `x W_ih + b_ih + h W_hh + b_hh`, through a sigmoid (i, f, o) or
    tanh (g).

    Args:
        input_size: size of the last axis of x; None infers it from x at `init`.
        hidden_size: size of h and c.
        bias: whether to add biases.

    Input: `(..., input_size)`, the state then being zeros, or `(x, (h, c))` with h and c `(..., hidden_size)`;
        floating.
    Output: `(h', c')`, each `(..., hidden_size)`, of x's dtype.
    Params: `weight_ih (input_size, 4 hidden_size)`, `weight_hh (hidden_size, 4 hidden_size)` (torch's,
        transposed, with its order of gates), `bias_ih`, `bias_hh (4 hidden_size,)`.

    Raises:
        ShapeError: x or the state does not fit.
        DtypeError: x is not floating, or a tuple of another form.
        OptionError: a size below 1.

    Follows `torch.nn.LSTMCell`. Initial values are U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.lstm_cell(3, 4)
        >>> params = layer.init(jax.random.key(0))
        >>> state = layer.apply(params, jnp.ones((2, 3)))
        >>> h, c = layer.apply(params, (jnp.ones((2, 3)), state))
        >>> h.shape, c.shape
        ((2, 4), (2, 4))
    """

    def apply(params: dict[str, jax.Array], x: Any) -> tuple[jax.Array, jax.Array]:
        x, state = input_and_state(x, "(h, c)")
        if state is not None and (not isinstance(state, tuple) or len(state) != 2):
            raise DtypeError(f"expected the state to be a tuple (h, c), got {describe(state)}. "
                             "The call that works: apply(params, (x, (h, c))).")  # fmt: skip
        return F.lstm_cell(x, state, **params)

    return cell_init(4, input_size, hidden_size, bias), apply


@layer
def gru_cell(input_size: int | None, hidden_size: int, bias: bool = True):
    """Takes one step of the gated recurrent unit: `h' = (1 - z) n + z h`.

    `r` and `z` are sigmoids of their thirds of `x W_ih + b_ih + h W_hh + b_hh`, and `n = tanh(x_n + r h_n)` with
    the last thirds x_n and h_n of the two products.

    Args:
        input_size: size of the last axis of x; None infers it from x at `init`.
        hidden_size: size of the state.
        bias: whether to add biases.

    Input: `(..., input_size)`, h then being zeros, or `(x, h)` with h `(..., hidden_size)`; floating.
    Output: h', `(..., hidden_size)`, of x's dtype.
    Params: `weight_ih (input_size, 3 hidden_size)`, `weight_hh (hidden_size, 3 hidden_size)` (torch's,
        transposed, with its order of gates), `bias_ih`, `bias_hh (3 hidden_size,)`.

    Raises:
        ShapeError: x or h does not fit.
        DtypeError: x is not floating, or a tuple of another length.
        OptionError: a size below 1.

    Follows `torch.nn.GRUCell`. Initial values are U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.gru_cell(3, 4)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((2, 3))).shape
        (2, 4)
    """

    def apply(params: dict[str, jax.Array], x: Any) -> jax.Array:
        return F.gru_cell(*input_and_state(x, "h"), **params)

    return cell_init(3, input_size, hidden_size, bias), apply


def cell_init(gates: int, input_size: int | None, hidden_size: int, bias: bool) -> Callable[..., dict[str, jax.Array]]:
    """The `init` of a cell with so many gates."""
    inferable(input_size=input_size)
    at_least(1, hidden_size=hidden_size)
    width = gates * hidden_size

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        size = inferred(input_size, "input_size", x[0] if isinstance(x, tuple) else x)
        shapes = {"weight_ih": (size, width), "weight_hh": (hidden_size, width)}
        if bias:
            shapes |= {"bias_ih": (width,), "bias_hh": (width,)}
        keys = jax.random.split(key, len(shapes))
        return {name: draw(None, k, shape, hidden_size) for k, (name, shape) in zip(keys, shapes.items(), strict=True)}

    return init


def input_and_state(x: Any, state: str) -> tuple[Any, Any]:
    """Takes `(x, state)` apart; an array alone starts from zeros."""
    if not isinstance(x, tuple):
        return x, None
    if len(x) != 2:
        raise DtypeError(f"expected x to be an array or a tuple (x, {state}), got {describe(x)}. "
                         f"The call that works: apply(params, (x, {state})).")  # fmt: skip
    return x[0], x[1]
