"""The frame of one layer and one direction of a recurrent network; rnn, lstm and gru fill in the cell."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import ShapeError, describe, expect_features, expect_float, expect_rank
from jseq.functional.attention import length_mask
from jseq.functional.linear import linear
from jseq.functional.sharded import split_axes, summed_product, varying_alike, zeros_beside

State = tuple[jax.Array, ...]


class Cell(NamedTuple):
    """The element-wise part of a step and its derivative, both of arrays of shape (N, features).

    Args:
        gates: how many times the hidden size one product has.
        states: how many arrays a state has; the first is the hidden state that feeds back and leaves.
        forward: `(x product, h product, state) -> (new state, saved)`.
        backward: `(saved, y, d new state) -> ((d x product, d h product) or (d both,), d h or None, ...)`:
            y is the output of the step (zero where d new state is zero by the lengths); linear in
            d new state; d h is what does not pass through the h product, None for nothing.
    """

    gates: int
    states: int
    forward: Callable[[jax.Array, jax.Array, State], tuple[State, State]]
    backward: Callable[[State, jax.Array, State], tuple[Any, ...]]


class Weights(NamedTuple):
    """The parameters of one direction: (features, gates * hidden), (hidden, gates * hidden), ..."""

    ih: jax.Array
    hh: jax.Array
    bias_ih: jax.Array | None
    bias_hh: jax.Array | None
    hr: jax.Array | None = None


def run_cell(cell: Cell, x: jax.Array, state: State | None, weights: Weights) -> State:
    """One step over any leading axes: x (..., features), state arrays (..., hidden)."""
    expect_float(x)
    weights = _check_weights(cell, weights, x.dtype)
    expect_features(x, weights.ih.shape[0])
    state = _check_state(cell, state, weights, x, x.shape[:-1])
    x_part = linear(x, weights.ih, weights.bias_ih)
    return cell.forward(x_part, linear(state[0], weights.hh, weights.bias_hh), state)[0]


def run_layer(
    cell: Cell, x: jax.Array, state: State | None, weights: Weights, reverse: bool, lengths: jax.Array | None
) -> tuple[jax.Array, State]:
    """All steps over any leading axes: x (..., T, features) to y (..., T, hidden) and the last state."""
    expect_float(x)
    expect_rank(x, 2, "(..., T, features)", "Add the missing axis: a sequence of one step is x[None].")
    weights = _check_weights(cell, weights, x.dtype)
    expect_features(x, weights.ih.shape[0], "(..., T, {})")
    lead, (length, features) = x.shape[:-2], x.shape[-2:]
    state = _check_state(cell, state, weights, x, lead)
    n = math.prod(lead)
    valid = None
    if lengths is not None:
        if lengths.shape != lead:
            raise ShapeError(f"expected lengths of shape {lead}, one a sequence, got {describe(lengths)}.")
        valid = jnp.moveaxis(length_mask(lengths, length).reshape(n, length), 1, 0)[..., None]
    flat = tuple(a.reshape(n, a.shape[-1]) for a in state)
    steps = jnp.moveaxis(x.reshape(n, length, features), 1, 0)
    result: Any = _layer(cell, reverse, *varying_alike((steps, flat, weights, valid)))
    y, last = result
    y = jnp.moveaxis(y, 0, 1).reshape(*lead, length, y.shape[-1])
    return y, tuple(a.reshape(*lead, a.shape[-1]) for a in last)


def _check_weights(cell: Cell, weights: Weights, dtype: Any) -> Weights:
    """Casts the parameters to the dtype of the input, after checking that they fit together."""
    ih, hh, _, _, hr = weights
    hidden = hh.shape[1] // cell.gates
    out = hidden if hr is None else hr.shape[-1]
    biases = all(b is None or b.shape == hh.shape[1:] for b in weights[2:4])
    projection = hr is None or hr.shape == (hidden, out)
    if hh.shape != (out, cell.gates * hidden) or ih.shape[1:] != hh.shape[1:] or not (biases and projection):
        raise ShapeError(
            f"expected weights (features, {cell.gates} * hidden), (hidden, {cell.gates} * hidden) and biases "
            f"({cell.gates} * hidden,), got {describe(tuple(weights))}. Torch's weights are the transposes."
        )
    return jax.tree.map(lambda a: a.astype(dtype), weights)


def _check_state(cell: Cell, state: State | None, weights: Weights, x: jax.Array, lead: tuple[int, ...]) -> State:
    """The initial state in the dtype of x, zeros for None."""
    out, hidden = weights.hh.shape[0], weights.hh.shape[1] // cell.gates
    shapes = [(*lead, out), (*lead, hidden)][: cell.states]
    if state is None:
        return tuple(zeros_beside(x, shape, len(lead)) for shape in shapes)
    if len(state) != cell.states or any(a.shape != s for a, s in zip(state, shapes, strict=True)):
        wanted = " and ".join(str(s) for s in shapes)
        raise ShapeError(f"expected an initial state of shape {wanted}, got {describe(state)} for {describe(x)}.")
    return tuple(a.astype(x.dtype) for a in state)


def _product(x: jax.Array, weight: jax.Array, bias: jax.Array | None) -> jax.Array:
    y = x @ weight
    return y if bias is None else y + bias[None]


def _forward(
    cell: Cell, reverse: bool, x: jax.Array, state: State, weights: Weights, valid: jax.Array | None
) -> tuple[jax.Array, State, Any]:
    """Outputs, last state, and what every step saves for the backward pass; x is (T, N, features)."""

    def step(old: State, inputs: Any) -> tuple[State, Any]:
        x, valid = inputs
        x_part = _product(x, weights.ih, weights.bias_ih)
        new, saved = cell.forward(x_part, _product(old[0], weights.hh, weights.bias_hh), old)
        raw = None if weights.hr is None else new[0]
        y = new[0] if weights.hr is None else new[0] @ weights.hr
        new = (y, *new[1:])
        if valid is not None:
            new = tuple(jnp.where(valid, a, b) for a, b in zip(new, old, strict=True))
            y = jnp.where(valid, y, 0)
        return new, (y, (saved, raw))

    last, (y, saved) = lax.scan(step, state, (x, valid), reverse=reverse)
    return y, last, saved


# The own backward pass gathers the weight gradients in one product over all steps, where the transpose of
# the scan adds up one a step. Forward and gradient against the plain scan (CPU, 128 steps, hidden 256, 128,
# 64): LSTM 0.52, 0.55, 0.63; GRU 0.66, 0.93, 1.1; tanh 0.70, 0.86, 0.93. With it, one product of [x, h] a
# step is level with two; the x product taken out of the scan is slower (0.61, 0.94, 1.08 for LSTM).
@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _layer(
    cell: Cell, reverse: bool, x: jax.Array, state: State, weights: Weights, valid: jax.Array | None
) -> tuple[jax.Array, State]:
    return _forward(cell, reverse, x, state, weights, valid)[:2]


def _layer_fwd(
    cell: Cell, reverse: bool, x: jax.Array, state: State, weights: Weights, valid: jax.Array | None
) -> tuple[tuple[jax.Array, State], Any]:
    y, last, saved = _forward(cell, reverse, x, state, weights, valid)
    return (y, last), (x, state[0], weights, valid, y, saved)


def _layer_bwd(cell: Cell, reverse: bool, residuals: Any, gradients: Any) -> tuple[Any, ...]:
    x, h, weights, valid, y, saved = residuals
    dy, dlast = gradients

    def step(dnew: State, inputs: Any) -> tuple[State, Any]:
        dy, y, valid, (saved, raw) = inputs
        passed = dnew
        if valid is not None:
            dy = jnp.where(valid, dy, 0)
            dnew = tuple(jnp.where(valid, a, 0) for a in dnew)
        dh = dnew[0] + dy
        dout = dh if weights.hr is None else dh @ weights.hr.T
        dparts, ddirect, *dold = cell.backward(saved, y, (dout, *dnew[1:]))
        through = dparts[-1] @ weights.hh.T
        dold = (through if ddirect is None else ddirect + through, *dold)
        if valid is not None:
            dold = tuple(jnp.where(valid, a, b) for a, b in zip(dold, passed, strict=True))
        return dold, (dparts, None if raw is None else dh)

    dstate, (dparts, dh) = lax.scan(step, dlast, (dy, y, valid, saved), reverse=not reverse)
    before = jnp.concatenate([y, h[None]])[1:] if reverse else jnp.concatenate([h[None], y])[: y.shape[0]]
    if valid is not None and reverse:
        # A sequence starts at its own end: there y stands at zero, and the initial state came before.
        started = jnp.concatenate([valid, zeros_beside(valid, (1, *valid.shape[1:]), valid.ndim)])[1:]
        before = jnp.where(started, before, h[None])
    dx, dweights = _gather(x, before, weights, dparts, saved[1], dh)
    return dx, dstate, dweights, None


def _gather(
    x: jax.Array, before: jax.Array, weights: Weights, dparts: State, raw: Any, dh: Any
) -> tuple[jax.Array, Weights]:
    """The gradients of the input and of the weights, summed over steps and sequences at once."""
    # Steps and sequences in one axis, which JAX refuses where the sequences are split over a mesh.
    flat = not any(split_axes(x))

    def rows(a: jax.Array) -> jax.Array:
        return a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) if flat else a

    def product(a: jax.Array, b: jax.Array, weight: jax.Array) -> jax.Array:
        return rows(a).T @ rows(b) if flat else summed_product(a, b, weight)

    def total(a: jax.Array, bias: jax.Array | None) -> jax.Array | None:
        return None if bias is None else a.sum(axis=tuple(range(a.ndim - 1)))

    dx_part, dh_part = rows(dparts[0]), rows(dparts[-1])
    dx = (dx_part @ weights.ih.T).reshape(x.shape)
    return dx, Weights(
        ih=product(x, dx_part, weights.ih),
        hh=product(before, dh_part, weights.hh),
        bias_ih=total(dx_part, weights.bias_ih),
        bias_hh=total(dh_part, weights.bias_hh),
        hr=None if weights.hr is None else product(raw, dh, weights.hr),
    )


_layer.defvjp(_layer_fwd, _layer_bwd)
