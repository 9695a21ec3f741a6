"""Equal layers side by side are traced once: each distinct one becomes an inner `jax.jit`, whose trace JAX keeps."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax

from jseq._core.calls import run_apply

if TYPE_CHECKING:
    from jseq.core import Layer

# Tracing and lowering a gradient, shared beside not: 4 equal layers 0.83 to 1.0 (linear, layer_norm, residual), 8
# 0.57 to 0.86, 32 0.24 to 0.68; 2 or 3 up to 1.1. XLA puts the calls in line, so the compiled code is the same.
SHARED_FROM = 4


def run_shared(layer: "Layer", params: Any, state: Any, x: Any, key: Any, train: bool,
               context: Mapping[str, Any] | None) -> tuple[Any, Any]:  # fmt: skip
    """Does what `run_apply` does; while JAX traces, by a program that all equal layers share."""
    if not any(map(is_traced, jax.tree.leaves(x))):
        return run_apply(layer, params, state, x, key, train, context)
    return program(layer, train)(params, state, x, key, context)


def is_traced(leaf: Any) -> bool:
    """Whether an array stands for a value that is not known yet: what has values can tell when they are ready."""
    return isinstance(leaf, jax.Array) and not hasattr(leaf, "is_ready")


@functools.lru_cache(maxsize=1024)
def program(layer: "Layer", train: bool) -> Any:
    """The function of the layer, compiled."""
    return jax.jit(function_of(layer, train))


def function_of(layer: "Layer", train: bool) -> Callable[..., tuple[Any, Any]]:
    """The layer's `apply` as a function of arrays alone, under the layer's name."""

    def run(params: Any, state: Any, x: Any, key: Any, context: Any) -> tuple[Any, Any]:
        return run_apply(layer, params, state, x, key, train, context)

    run.__name__ = run.__qualname__ = layer.name
    return run
