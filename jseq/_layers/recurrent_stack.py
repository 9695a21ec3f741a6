"""Recurrent layers on top of each other, in one or two directions: what rnn, lstm and gru have in common."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq._layers.initial import draw, inferred
from jseq._layers.options import at_least, inferable
from jseq.errors import CallError, DtypeError, ShapeError, describe, expect_key, to_one_array
from jseq.functional.dropout import check_probability

SUFFIXES = ("", "_reverse")
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")  # the order of the functional layers


class Stack(NamedTuple):
    """The sizes of a recurrent network; `gates` and `states` are those of its cell."""

    gates: int
    states: int
    input_size: int | None
    hidden_size: int
    num_layers: int
    bias: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    return_state: bool

    @property
    def directions(self) -> int:
        return 1 + self.bidirectional

    @property
    def out_size(self) -> int:
        """Features of one direction's output."""
        return self.proj_size or self.hidden_size

    def check(self) -> None:
        """Refuses sizes and probabilities that cannot be."""
        inferable(input_size=self.input_size)
        at_least(1, hidden_size=self.hidden_size, num_layers=self.num_layers)
        check_probability(self.dropout)

    def shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter, by torch's names and in torch's order."""
        width = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for index in range(self.num_layers):
            features = input_size if index == 0 else self.out_size * self.directions
            for suffix in SUFFIXES[: self.directions]:
                end = f"_l{index}{suffix}"
                shapes |= {f"weight_ih{end}": (features, width), f"weight_hh{end}": (self.out_size, width)}
                if self.bias:
                    shapes |= {f"bias_ih{end}": (width,), f"bias_hh{end}": (width,)}
                if self.proj_size:
                    shapes[f"weight_hr{end}"] = (self.hidden_size, self.proj_size)
        return shapes


def recurrent_pair(stack: Stack, run: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The pair of a recurrent network; `run(x, state, weights, reverse, lengths)` is a layer in one direction."""
    stack.check()

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        shapes = stack.shapes(inferred(stack.input_size, "input_size", x))
        named_keys = zip(shapes, jax.random.split(key, len(shapes)), strict=True)
        return {name: draw(None, own, shapes[name], stack.hidden_size) for name, own in named_keys}

    def apply_random(
        params: dict[str, jax.Array], x: jax.Array, key: jax.Array | None, train: bool, context: Mapping[str, Any]
    ) -> Any:
        if not train:
            return run_stack(stack, run, params, x, context)
        expect_key(key, "apply(params, x, key=key, train=True)")
        assert key is not None
        return run_stack(stack, run, params, x, context, jax.random.split(key, stack.num_layers - 1))

    def apply(params: dict[str, jax.Array], x: jax.Array, context: Mapping[str, Any]) -> Any:
        return run_stack(stack, run, params, x, context)

    return init, apply_random if stack.dropout and stack.num_layers > 1 else apply


def run_stack(
    stack: Stack, run: Callable[..., Any], params: Any, x: jax.Array, context: Mapping[str, Any], keys: Any = None
) -> Any:
    """Runs all layers; `keys` are for the dropout between them."""
    initial, lengths = initial_states(stack, context, x), context.get("lengths")
    finals: list[Any] = []
    for index in range(stack.num_layers):
        if index and keys is not None:
            x = F.dropout(x, stack.dropout, key=keys[index - 1], train=True)
        ys: list[jax.Array] = []
        for reverse, suffix in enumerate(SUFFIXES[: stack.directions]):
            weights = [params.get(f"{name}_l{index}{suffix}") for name in WEIGHTS]
            start = None if initial is None else tuple(a[..., len(finals), :] for a in initial)
            y, last = run(x, start, weights, bool(reverse), lengths)
            ys.append(y)
            finals.append(last)
        x = jnp.concatenate(ys, axis=-1) if len(ys) > 1 else ys[0]
    if not stack.return_state:
        return x
    state = tuple(jnp.stack(arrays, axis=-2) for arrays in zip(*finals, strict=True))
    return x, state if stack.states > 1 else state[0]


def initial_states(stack: Stack, context: Mapping[str, Any], x: jax.Array) -> tuple[jax.Array, ...] | None:
    """The initial states that context gives, as a tuple; None for zeros. Refuses those that stand beside x."""
    if isinstance(x, tuple):
        start = "(h, c)" if stack.states > 1 else "h"
        call = f'apply(params, x, context={{"initial_state": {start}}})'
        raise DtypeError(f"expected x to be an array of shape (..., T, features), got {describe(x)}. {to_one_array(x)} "
                         f"Initial states go by context: {call}.")  # fmt: skip
    given = context.get("initial_state")
    if given is None:
        return None
    states = given if isinstance(given, tuple) else (given,)
    if len(states) != stack.states:
        wanted = "one array h" if stack.states == 1 else "a tuple (h, c)"
        raise CallError(f'expected context["initial_state"] to be {wanted}, got {describe(given)}.')
    rows = stack.num_layers * stack.directions
    for a, size in zip(states, (stack.out_size, stack.hidden_size), strict=False):
        shape = (*x.shape[:-2], rows, size)
        if a.shape != shape:
            raise ShapeError(
                f"expected an initial state of shape {shape}, (..., layers * directions, size), got {describe(given)} "
                f"for x {describe(x)}. Torch has the layers first: its h is moved by h.swapaxes(0, 1)."
            )
    return states
