"""The ground floor: `Layer`, the pair of pure functions, and the `layer` decorator that makes it.

Imports jax, the errors, and `_core` (how a layer is called, checked, edited, printed). Layers live upstairs.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, ParamSpec, overload

from jseq._core import calls, editing, printing, torch_habits, values
from jseq._core.calls import no_params
from jseq.errors import CallError, LayerError

P = ParamSpec("P")
CONSTRUCTORS: dict[str, Callable[..., "Layer"]] = {}  # every decorated constructor, by the name files use


class Layer:
    """A pair of pure functions `(init, apply)`, and the spec that built them: a frozen value.

    `params = layer.init(key, x=None)` and `y = layer.apply(params, x, *, key=None, train=False,
    context=None)`; `init, apply = layer` unpacks the pair. Layers are equal when their constructor
    and arguments are, so they hash, pickle, and never retrace a jitted `apply` when built again.

    Attributes:
        constructor: the decorated function that built this layer.
        arguments: its arguments, defaults included.
        children: the layers inside a combinator: a tuple, or a mapping if they have names.
        keeps_state: whether it needs `jseq.with_state` (batch norm does).
        uses_key: whether `apply` may draw random numbers.
        reads: the names that it reads from `context`.
    """

    __slots__ = ("__weakref__", "_hash", "apply", "arguments", "children", "constructor", "functions",
                 "init", "keeps_state", "reads", "uses_key")  # fmt: skip

    init: "calls.Method"
    apply: "calls.Method"
    constructor: Callable[..., "Layer"]
    arguments: Mapping[str, Any]
    children: "tuple[Layer, ...] | Mapping[str, Layer]"
    functions: "calls.Functions"
    keeps_state: bool
    uses_key: bool
    reads: frozenset[str]

    def __init__(self, constructor: Callable[..., "Layer"], arguments: Mapping[str, Any], functions: "calls.Functions"):
        inner = functions.children
        children = {"layer": inner} if isinstance(inner, Layer) else inner or ()
        nested = tuple(children.values()) if isinstance(children, Mapping) else children

        def inherits(attribute: str) -> bool:
            return inner is None or any(getattr(child, attribute) for child in nested)

        fields = {
            "constructor": constructor,
            "arguments": arguments,
            "functions": functions,
            "children": children,
            "keeps_state": "state" in functions.takes and inherits("keeps_state"),
            "uses_key": "key" in functions.takes and inherits("uses_key"),
            "reads": functions.reads.union(*(child.reads for child in nested)),
            "_hash": hash((constructor, arguments)),
            "init": calls.Method("init", self),
            "apply": calls.Method("apply", self),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"layers are values and do not change; build a new one: {self.name}(...).")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    @property
    def name(self) -> str:
        """The name of the constructor: `linear`."""
        return self.constructor.__name__

    def __iter__(self) -> Iterator["calls.Method"]:
        return iter((self.init, self.apply))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise CallError(
            "a layer is a pair of pure functions and is not called itself. The call that works: "
            "params = model.init(jax.random.key(0)); y = model.apply(params, x).",
            self.brief,
        )

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Layer) or self._hash != other._hash:  # pyright: ignore
            return False
        return self.constructor is other.constructor and self.arguments == other.arguments

    def __hash__(self) -> int:
        return self._hash  # pyright: ignore

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (self.constructor, values.portable(self.arguments))

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if hasattr(self, name)]  # without torch's names

    @property
    def wraps(self) -> bool:
        """Whether this is a wrapper, whose params and state are those of the one layer inside it."""
        return isinstance(self.functions.children, Layer)

    @property
    def signature(self) -> inspect.Signature:
        """The signature of the constructor."""
        return inspect.signature(self.constructor)

    def __repr__(self) -> str:
        return values.call_code(short_name(self.constructor), self.signature, self.arguments)

    def __str__(self) -> str:
        return printing.tree(self)

    @property
    def brief(self) -> str:
        """One line for errors: `linear(in_features=64, ...)`, `sequential(...)`, `jax.nn.relu`."""
        return printing.brief(self)

    def __getitem__(self, index: int | slice | str) -> "Layer":
        return editing.take(self, index)

    def __add__(self, other: object) -> "Layer":
        return editing.concatenate(self, other)


for _name, _call in torch_habits.METHODS.items():  # not by __getattr__, which would make every attribute slower
    setattr(Layer, _name, torch_habits.Absent(_name, _call))


def rebuild(constructor: Callable[..., Layer], arguments: Mapping[str, Any]) -> Layer:
    """Builds a layer from its arguments by name: what pickle and the JSON reader call."""
    args: list[Any] = []
    kwargs = {name: values.resolved(value) for name, value in arguments.items()}
    for parameter in inspect.signature(constructor).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            args = list(kwargs.pop(parameter.name, ()))
    return constructor(*args, **kwargs)


def short_name(constructor: Callable[..., Any]) -> str:
    """The name in `repr`: `jseq.linear`, or the bare name of a layer of the user's own."""
    name = values.constructor_name(constructor)
    return name if name.startswith("jseq.") else constructor.__qualname__


class Pair(NamedTuple):
    """The two functions of a layer under one calling convention."""

    init: "calls.Method"
    apply: "calls.Method"


def with_state(layer: Layer) -> Pair:
    """Gives the state-threading pair of any layer.

    `params, state = init(key, x=None)` and `y, state = apply(params, state, x, *, key=None,
    train=False, context=None)`. A layer that keeps no state threads empty state. The caller chooses
    this convention; the contents of the model never do.

    Example:
        >>> import jax, jseq
        >>> init, apply = jseq.with_state(jseq.batch_norm(3))
        >>> params, state = init(jax.random.key(0))
        >>> y, state = apply(params, state, jax.numpy.ones((8, 3)), train=True)
        >>> y.shape, sorted(state)
        ((8, 3), ['num_batches_tracked', 'running_mean', 'running_var'])
    """
    if not isinstance(layer, Layer):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise CallError(f"with_state takes a jseq layer, got {layer!r:.60}.")
    return Pair(calls.Method("state_init", layer), calls.Method("state_apply", layer))


@overload
def layer(build: Callable[P, Any], /) -> Callable[P, Layer]: ...
@overload
def layer(*, context: Iterable[str] = ()) -> Callable[[Callable[P, Any]], Callable[P, Layer]]: ...
def layer(build: Any = None, /, *, context: Iterable[str] = ()) -> Any:
    """Makes a layer constructor of a function that returns `(init, apply)`.

    The function's arguments become the spec of the layer: repr, equality, hash, pickle and JSON come
    from them. `init(key, x)` returns the params (a dict of arrays, or `()`); `apply(params, x)`
    returns y. `apply` may also declare `key`, `train` and `context`, and gets only what it declares.
    With `apply(params, state, x)` the layer keeps state: `init` returns `(params, state)` and `apply`
    returns `(y, state)`. A combinator also returns its children (see `jseq.Children`).

    Args:
        context: names that `apply` reads from the context dict; any other name is refused by the model.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> @jseq.layer
        ... def shift(features: int):
        ...     def init(key, x):
        ...         return {"bias": jnp.zeros((features,))}
        ...
        ...     def apply(params, x):
        ...         return x + params["bias"].astype(x.dtype)
        ...
        ...     return init, apply
        >>> shift(3)
        shift(3)
        >>> shift(3).apply({"bias": jnp.ones(3)}, jnp.zeros(3))
        Array([1., 1., 1.], dtype=float32)
    """
    if build is None:
        return functools.partial(_decorate, reads=frozenset(context))
    return _decorate(build, reads=frozenset())


def _decorate(build: Callable[..., Any], reads: frozenset[str]) -> Callable[..., Layer]:
    signature = inspect.signature(build)

    @functools.wraps(build)
    def constructor(*args: Any, **kwargs: Any) -> Layer:
        name = build.__name__
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            call = f"The call that works: {name}{values.signature_text(constructor)}."
            raise CallError(f"{values.unknown(signature, kwargs) or f'{error}.'} {call}", name) from None
        bound.apply_defaults()
        shown = name  # the arguments too, once they are values
        try:
            for argument, value in bound.arguments.items():
                bound.arguments[argument] = values.freeze(value, argument)
            if not any(isinstance(value, Layer | tuple) for value in bound.arguments.values()):
                shown = f"{name}({', '.join(values.options(signature, bound.arguments))})"
            functions = calls.Functions.of(build(*bound.args, **bound.kwargs), reads, build)
        except LayerError as error:
            error.name(shown)
            raise
        return Layer(constructor, values.FrozenMapping(bound.arguments.items()), functions)

    CONSTRUCTORS[values.constructor_name(constructor)] = constructor
    return constructor


def is_constructor(value: Any) -> bool:
    """Whether this is a layer constructor that was not called."""
    return callable(value) and CONSTRUCTORS.get(values.constructor_name(value)) is value if hasattr(
        value, "__qualname__"
    ) else False  # fmt: skip


@layer
def lift(function: Callable[[Any], Any]):
    """Lifts a plain function of one array to a layer without parameters.

    Combinators do it by themselves: `sequential(linear(64, 128), jax.nn.relu)`.

    Example:
        >>> import jax, jseq
        >>> jseq.lift(jax.nn.relu).apply((), jax.numpy.array([-1.0, 2.0]))
        Array([0., 2.], dtype=float32)
    """

    def apply(params: tuple[()], x: Any) -> Any:
        return function(x)

    return no_params, apply


def _one_by_one(layers: Any) -> str:
    """What to write for layers in a list, or for a name and a layer in a pair."""
    pair = layers[0] if layers and isinstance(layers[0], tuple) else layers
    if pair and isinstance(pair[0], str):
        return ("expected layers one by one, or a mapping of names to them, got a pair. The call that works: "
                f'sequential({{"{pair[0]}": layer}}).')  # fmt: skip
    return "expected layers one by one, got a list or a tuple. The call that works: sequential(*layers)."


def as_layer(value: Any) -> Layer:
    """Takes a layer as it is and lifts a function; refuses what is neither."""
    if isinstance(value, Layer):
        return value
    if is_constructor(value):
        name = value.__name__
        raise CallError(f"{name} is a constructor that was not called. The call that works: "
                        f"{name}{values.signature_text(value)}.")  # fmt: skip
    if isinstance(value, list | tuple):
        raise CallError(_one_by_one(value))
    instead = torch_habits.instead_of(value, CONSTRUCTORS)
    if instead:
        raise CallError(instead)
    if not callable(value) or isinstance(value, type):
        raise CallError(f"expected a layer or a function of one array, got {type(value).__name__} {value!r:.60}.")
    return lift(value)
