"""One case: a layer, an input that it takes, and the torch module whose numbers it has."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

import jseq
from jseq import Layer


@dataclass(frozen=True)
class Input:
    """An input to draw: its shape, and for ids the number that they stay below."""

    shape: tuple[int, ...]
    high: int | None = None
    low: float | None = None  # floats: drawn uniformly from [low, low + 1] instead of a normal distribution

    def draw(self, random: np.random.RandomState) -> np.ndarray:
        if self.high == 2:
            return random.randint(0, 2, self.shape).astype(bool)
        if self.high is not None:
            return random.randint(0, self.high, self.shape).astype(np.int32)
        if self.low is not None:
            return random.uniform(self.low, self.low + 1, self.shape)
        return random.standard_normal(self.shape)


def floats(*shape: int, low: float | None = None) -> Input:
    return Input(shape, low=low)


def bools(*shape: int) -> Input:
    return Input(shape, 2)


def ints(high: int, *shape: int) -> Input:
    return Input(shape, high)


@functools.cache
def compiled(layer: Layer) -> Callable[..., Any]:
    """One compiled function a layer, so that the laws share it."""
    return jax.jit(jseq.with_state(layer).apply, static_argnames="train")


@functools.cache
def started(case: "Case", dtype: Any) -> tuple[Any, Any, Any]:
    """Initialises a case once in each dtype: arrays do not change, so that the laws share them."""
    x = jax.tree.map(jax.numpy.asarray, case.inputs(dtype))
    params, state = jseq.with_state(case.layer).init(jax.random.key(0), x)
    params = jax.tree.map(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, params)
    return params, state, x


@dataclass(frozen=True, eq=False)  # a case is equal to itself alone, and so can be hashed
class Case:
    """A layer with an input, and what it is held against.

    Attributes:
        layer: the layer (batch axis first in x).
        x: `floats(...)`, `ints(...)`, or a tuple of them for a layer of several inputs.
        torch: the torch module it equals, as source text in terms of `nn` and `torch`; "" if torch has none.
        torch_call: how torch is called, in terms of `module`, `x` (the list of inputs) and the context's names.
        layout: "last" if torch takes the very same array, "channels" if torch has the channels on axis 1.
        variants: more argument combinations of the same layer, for the parity tests alone.
        batched: whether axis 0 of x and y is a batch axis that vmap may take away.
        context: inputs for `context`, by name.
        tolerance, reason: how far from torch in float64, and why if not 1e-10.
        train: whether training is deterministic, so that it is compared with torch too.
        smooth: whether finite differences make sense around a random x.
        init: whether the distribution of initial values is torch's.
        reference: for layers that torch lacks: a numpy function `(params, x) -> y` in float64, of the state where
            there are no params.
    """

    layer: Layer
    x: Any
    torch: str = ""
    torch_call: str = "module(*x)"
    layout: str = "last"
    variants: tuple["Case", ...] = ()
    batched: bool = True
    context: dict[str, Input] = field(default_factory=dict)
    tolerance: float = 1e-10
    reason: str = ""
    train: bool = False
    smooth: bool = True
    init: bool = True
    reference: Callable[..., Any] | None = None

    def __str__(self) -> str:
        return repr(self.layer).replace("jseq.", "")

    @property
    def name(self) -> str:
        return self.layer.name

    def inputs(self, dtype: Any = np.float32, seed: int = 0) -> Any:
        """Draws x; floats in this dtype."""
        random = np.random.RandomState(seed)  # numpy promises this stream for ever: stored vectors rest on it
        drawn = jax.tree.map(lambda spec: spec.draw(random), self.x, is_leaf=lambda x: isinstance(x, Input))
        return jax.tree.map(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, drawn)

    def contexts(self, dtype: Any = np.float32) -> dict[str, Any] | None:
        """Draws the context; None if the case has none."""
        random = np.random.RandomState(1)
        drawn = {name: spec.draw(random) for name, spec in self.context.items()}
        return {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in drawn.items()} or None

    def trees(self) -> tuple[Any, Any]:
        """Draws params and state for the parity tests: nothing stays at 0 or 1, variances are positive."""
        init = jseq.with_state(self.layer).init
        shapes = jax.eval_shape(lambda: init(jax.random.key(0), self.inputs(np.float64)))
        random = np.random.RandomState(7)

        def draw(path: Any, leaf: Any) -> Any:
            name = jax.tree_util.keystr(path[-1:], simple=True)
            if leaf.dtype == np.int8:
                return random.randint(-128, 128, leaf.shape).astype(np.int8)
            if not jax.numpy.issubdtype(leaf.dtype, np.floating):
                return np.zeros(leaf.shape, leaf.dtype)
            value = random.standard_normal(leaf.shape) * 0.4
            return np.asarray(0.5 + np.abs(value) if name == "running_var" else value)

        return jax.tree_util.tree_map_with_path(draw, shapes)

    @property
    def trains(self) -> bool:
        """Whether training differs from evaluation at all."""
        return "train" in self.layer.functions.takes

    def call(self, params: Any, state: Any, x: Any, *, train: bool = False, seed: int | None = None,
             dtype: Any = np.float32) -> tuple[Any, Any]:  # fmt: skip
        """The compiled state-threading `apply`, with a key if there is a seed, and the case's context."""
        key = None if seed is None or not self.layer.uses_key else jax.random.key(seed)
        return compiled(self.layer)(params, state, x, key=key, train=train, context=self.contexts(dtype))

    def start(self, dtype: Any = np.float32) -> tuple[Any, Any, Any]:
        """Initialises: `(params, state, x)`, floating params in this dtype."""
        return started(self, dtype)
