"""Functions of one array as arguments of combinators: a function, or a layer without params."""

from collections.abc import Callable
from typing import Any

import jax

from jseq._combinators import paths
from jseq._core import calls
from jseq.core import as_layer
from jseq.errors import OptionError


def plain_function(value: Any, argument: str) -> Callable[[Any], Any]:
    """The function that a layer without params, state, randomness and context is; refuses any other layer."""
    layer = as_layer(value)
    params = paths.declared(layer)  # empty containers
    plain = not (layer.keeps_state or layer.uses_key or layer.reads)
    if not plain or params is None or jax.tree.leaves(params):
        raise OptionError(f"expected {argument} to be a function of one array, got {layer.brief}, which has params, "
                          "keeps state, draws random numbers or reads context.")  # fmt: skip
    return lambda x: calls.run_apply(layer, params, None, x, None, False, None)[0]
