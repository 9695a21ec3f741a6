"""How a layer is called: the plain pair, the state-threading pair, and the one place that runs both."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jseq._core.checks import ARGUMENTS, CALLS, OPTIONS, check_arguments, check_context, fits, misfit
from jseq._core.shaping import made_with_key
from jseq._core.watching import watched_by
from jseq.errors import KEYED, ORDERED, CallError, DtypeError, LayerError, ParamsError, describe, expect_key, threaded

if TYPE_CHECKING:
    from jseq.core import Layer


@dataclass(frozen=True, eq=False)
class Functions:
    """What a constructor's body returned: its functions, what `apply` takes, and its children."""

    init: Callable[..., Any]
    apply: Callable[..., Any]
    children: "tuple[Layer, ...] | Mapping[str, Layer] | Layer | None"  # None: a leaf; a Layer: a wrapper of it
    takes: frozenset[str]  # of state, key, train, context
    reads: frozenset[str]

    @classmethod
    def of(cls, parts: Any, reads: frozenset[str], build: Callable[..., Any]) -> "Functions":
        if not isinstance(parts, tuple) or len(parts) not in (2, 3):  # pyright: ignore[reportUnknownArgumentType]
            raise CallError(
                f"the body of {build.__name__} must return (init, apply), got {parts!r:.60}.", build.__name__
            )
        init, apply, *children = parts  # pyright: ignore[reportUnknownVariableType]
        takes = frozenset(inspect.signature(apply).parameters) & {"state", *OPTIONS}  # pyright: ignore
        if not children and ("context" in takes) != bool(reads):
            raise CallError("a layer whose apply declares context names what it reads, and only such a layer: "
                            '@jseq.layer(context=("mask",)).', build.__name__)  # fmt: skip
        return cls(init, apply, children[0] if children else None, takes, reads)  # pyright: ignore


class Method:
    """One function of a layer, as a value: equal layers have equal methods, so jit traces them once."""

    def __init__(self, kind: str, layer: "Layer"):
        self.kind, self.layer = kind, layer
        self.__name__ = self.__qualname__ = kind.removeprefix("state_")
        self.__doc__ = f"The call: `{CALLS[kind]}`."

    @property
    def __signature__(self) -> inspect.Signature:
        make = inspect.Parameter
        default = {"x": None} if "init" in self.kind else {}
        parts = [make(name, make.POSITIONAL_OR_KEYWORD, default=default.get(name, make.empty))
                 for name in ARGUMENTS[self.kind]]  # fmt: skip
        if "apply" in self.kind:
            parts += [make(name, make.KEYWORD_ONLY, default=False if name == "train" else None) for name in OPTIONS]
        return inspect.Signature(parts)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        layer = self.layer
        try:
            values = check_arguments(self.kind, args, kwargs)
            if self.kind in ("init", "apply") and layer.keeps_state:
                refuse_plain_pair(layer, self.kind)
            if "init" in self.kind:
                params, state = start(layer, **values)
                return params if self.kind == "init" else (params, state)
            y, state = enter(layer, **values)
            return y if self.kind == "apply" else (y, state)
        except LayerError as error:
            error.name(layer.brief)
            if self.kind == "state_apply":
                for text in (KEYED, ORDERED):
                    error.message = error.message.replace(text, threaded(text))
            raise

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and self.kind == other.kind and self.layer == other.layer

    def __hash__(self) -> int:
        return hash((self.kind, self.layer))

    def __repr__(self) -> str:
        model = repr(self.layer)
        return f"{model}.{self.kind}" if "_" not in self.kind else f"jseq.with_state({model}).{self.__name__}"


def refuse_plain_pair(layer: "Layer", kind: str) -> None:
    """The plain pair has nowhere to put state: names the layers that keep it, shows the call that works."""
    keepers = ", ".join(f'{brief} at "{path}"' for path, brief in state_keepers(layer) if path)
    raise CallError(f"{keepers or 'this layer'} keeps state, which the plain pair cannot thread. "
                    f"The call that works: {CALLS['state_' + kind]}.")  # fmt: skip


def state_keepers(layer: "Layer", path: str = "") -> list[tuple[str, str]]:
    """The layers that keep state of their own: their paths and one-line names."""
    children = layer.children
    named = children.items() if isinstance(children, Mapping) else enumerate(children)
    if layer.wraps:
        return [pair for _, child in named for pair in state_keepers(child, path)]
    found = [pair for name, child in named if child.keeps_state
             for pair in state_keepers(child, f"{path}.{name}" if path else str(name))]  # fmt: skip
    return found or [(path, layer.brief)]


def start(layer: "Layer", key: Any, x: Any = None) -> tuple[Any, Any]:
    """The outermost `init`: checks the call, then initialises."""
    call = CALLS["state_init" if layer.keeps_state else "init"]
    expect_key(key, call.replace(", x)", ")") if x is None else call)
    x = jax.tree.map(as_shape, x)
    try:
        made = run_init(layer, key, x)
        if x is not None:
            shapes(layer, x)  # an input that apply would refuse is refused now
        return made
    except Exception as error:
        error.add_note(f"in {layer.brief}, given {describe(x)}")
        raise


def as_shape(x: Any, call: str = "model.init(key, {}), or init(key) if every size is declared") -> jax.ShapeDtypeStruct:
    """Reads shape and dtype, the only things that `init` may look at; `call` is the call that works, `{}` for x."""
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        name = call.partition("(")[0].rpartition(".")[2]
        raise DtypeError(f"{name} reads shapes from arrays, got {describe(x)}. The call that works: "
                         f"{call.format('jax.ShapeDtypeStruct((32, 64), jnp.float32)')}.")  # fmt: skip
    return jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype, allow_extended_dtype=True))


def run_init(layer: "Layer", key: Any, x: Any) -> tuple[Any, Any]:
    """Runs the layer's own `init`, in the state-threading form."""
    try:
        made = layer.functions.init(key, x)
    except LayerError as error:
        error.name(layer.brief)
        raise
    return made if "state" in layer.functions.takes else (made, ())


def enter(layer: "Layer", params: Any, x: Any, state: Any = None, key: Any = None, train: Any = False,
          context: Any = None) -> tuple[Any, Any]:  # fmt: skip
    """The outermost `apply`: checks the call, then applies."""
    if not isinstance(train, bool):
        raise CallError(f"train is a static Python bool, got {describe(train)}. Under jit: "
                        'jax.jit(model.apply, static_argnames="train").')  # fmt: skip
    if key is not None:
        expect_key(key, CALLS["apply"])
    check_context(layer, context)
    x = jax.tree.map(as_input, x, is_leaf=lambda leaf: isinstance(leaf, list))
    try:
        return run_apply(layer, params, state, x, key, train, context)
    except Exception as error:
        error.add_note(f"in {layer.brief}, given {describe(x)}")
        raise


def as_input(x: Any) -> Any:
    """Takes arrays (numpy's too) as they are in JAX; refuses lists and numbers."""
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        raise DtypeError(f"expected x to be an array, got {describe(x)}. "
                         "The call that works: model.apply(params, jnp.asarray(x)).")  # fmt: skip
    return jnp.asarray(x)


def run_apply(layer: "Layer", params: Any, state: Any, x: Any, key: Any, train: bool,
              context: Mapping[str, Any] | None) -> tuple[Any, Any]:  # fmt: skip
    """Runs the layer's own `apply`, in the state-threading form, with what it declares and no more."""
    functions = layer.functions
    try:
        given: dict[str, Any] = {}
        if "key" in functions.takes:
            given["key"] = key
        if "train" in functions.takes:
            given["train"] = train
        if functions.children is not None:
            if "context" in functions.takes:
                given["context"] = context
            return functions.apply(params, state, x, **given)
        check_params(layer, params, state, x)
        if "context" in functions.takes:
            given["context"] = {name: v for name, v in (context or {}).items() if name in functions.reads}
        if "state" in functions.takes:
            return functions.apply(params, state, x, **given)
        return functions.apply(params, x, **given), ()
    except LayerError as error:
        error.name(layer.brief)
        raise


def shapes(layer: "Layer", x: Any) -> tuple[Any, Any, Any]:
    """The shapes of params, state and y for an input of this shape, traced once per distinct layer."""
    leaves, structure = jax.tree.flatten(x)
    return _shapes(layer, structure, tuple(leaves), jnp.result_type(float))


# Equal layers on equal shapes are traced once. Keyed by the default float too: enable_x64 changes it.
@functools.lru_cache(maxsize=1024)
def _shapes(layer: "Layer", structure: Any, leaves: tuple[Any, ...], dtype: Any) -> tuple[Any, Any, Any]:
    x = jax.tree.unflatten(structure, leaves)

    def run(key: Any, x: Any) -> tuple[Any, Any, Any]:
        params, state = run_init(layer, key, jax.tree.map(as_shape, x))
        y = None if x is None else run_apply(layer, params, state, x, key, False, None)[0]
        return params, state, y

    with watched_by(None):
        return made_with_key(run, x)


@functools.lru_cache(maxsize=1024)
def _declared(layer: "Layer", dtype: Any) -> tuple[Any, Any] | None:
    try:
        return made_with_key(lambda key: run_init(layer, key, None))
    except Exception:  # A size is to be inferred: whatever init says of a missing x, ask again with x.
        return None


def expected_trees(layer: "Layer", x: Any) -> tuple[Any, Any]:
    """The shapes of the params and state that `init` makes for this leaf layer."""
    if layer.functions.init is no_params:
        return (), ()
    declared = _declared(layer, jnp.result_type(float))
    if declared is not None:
        return declared
    return made_with_key(lambda key, x: run_init(layer, key, jax.tree.map(as_shape, x)), x)


def check_params(layer: "Layer", params: Any, state: Any, x: Any) -> None:
    """Refuses params and state that `init` of this leaf layer would not have made."""
    wanted_params, wanted_state = expected_trees(layer, x)
    if state is None and not layer.keeps_state:  # the plain pair threads none
        state = wanted_state
    for what, wanted, given in (("params", wanted_params, params), ("state", wanted_state, state)):
        if not fits(wanted, given):
            order = threaded(ORDERED) if layer.keeps_state else ORDERED
            raise ParamsError(f"{what} do not fit: {misfit(wanted, given)}. Make them with this model's init; {order}.")


def no_params(key: jax.Array, x: Any) -> tuple[()]:
    """The `init` of a layer without parameters."""
    return ()
