"""The errors of jseq: what was expected, what came, and where.

Every error that a layer raises is a `LayerError`. Its message is written where the mistake is seen
(often in `jseq.functional`, which knows no layers); the layer and its place in the model are filled
in on the way up, so that the first line is complete by itself: JAX prints its own note last.
"""

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class LayerError(Exception):
    """What a layer refuses; `message`, `layer` and `path` say why, which and where.

    Subclasses are also the builtin error of the same meaning, so `except ValueError` works.
    """

    def __init__(self, message: str, layer: str = "", path: tuple[str, ...] = ()):
        super().__init__(message, layer, path)
        self.message, self.layer, self.path = message, layer, path

    def __str__(self) -> str:
        place = f' at "{".".join(self.path)}"' if self.path else ""
        return f"{self.layer}{place}: {self.message}" if self.layer else self.message

    def name(self, layer: str) -> None:
        """Fills in the layer, unless a deeper one has done so."""
        self.layer = self.layer or layer

    def enter(self, name: str) -> None:
        """Puts the child's name in front of the path, when the error passes a combinator."""
        self.path = (name, *self.path)


class ShapeError(LayerError, ValueError):
    """An input of the wrong shape."""


class DtypeError(LayerError, TypeError):
    """An input of the wrong type, such as integers where floats are needed."""


class OptionError(LayerError, ValueError):
    """An argument of a constructor that cannot be."""


class ParamsError(LayerError, ValueError):
    """Params or state that do not belong to the model."""


class CallError(LayerError, TypeError):
    """A call that cannot work: a missing key, a state that is not threaded, an unknown keyword."""


class SelectionError(LayerError, ValueError):
    """A pattern, a kind of layer or a predicate that selects nothing."""


class ConversionError(LayerError, ValueError):
    """A model of another library, or for one, that has no equivalent there."""


class FileError(LayerError, ValueError):
    """A file that is damaged, foreign, or does not fit the model."""


class ExportError(LayerError, ValueError):
    """A model that cannot be exported, or an exported program that cannot be loaded."""


def describe(x: Any) -> str:
    """Writes shapes and dtypes: `float32[32,128]`, `(float32[4], int32[4,2])`.

    >>> describe((jnp.zeros((4, 2)), None))
    '(float32[4,2], None)'
    """
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k!r}: {describe(v)}" for k, v in x.items()) + "}"
    if isinstance(x, tuple):
        inner = ", ".join(describe(v) for v in x)
        return f"({inner},)" if len(x) == 1 else f"({inner})"
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return f"{x.dtype}[{','.join(str(n) for n in x.shape)}]"
    if isinstance(x, list):
        return f"a list of {len(x)}"
    return "None" if x is None else f"{type(x).__name__} {x!r:.60}"


def near_misses(name: str, names: Iterable[str]) -> str:
    """Suggests the closest known name: ` Did you mean 'in_features'?`, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def expect_array(x: Any, form: str = "an array") -> None:
    """Refuses what is no array (a list, a tuple, a number)."""
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        raise DtypeError(f"expected x to be {form}, got {describe(x)}. {to_one_array(x)}")


def to_one_array(x: Any) -> str:
    """How to come to one array from what is none."""
    if isinstance(x, tuple):
        return ("For the first of them put jseq.select(0) before it; layers give one array without return_state=True "
                "and return_indices=True.")  # fmt: skip
    if isinstance(x, dict):
        return 'Take an entry in a function before it: lambda x: x["name"].'
    return "A function before it returns nothing, or x is missing." if x is None else "Call it with jnp.asarray(x)."


def expect_float(x: Any) -> None:
    """Refuses integers and booleans where the layer computes with floats."""
    expect_array(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise DtypeError(
            f"expected x of a floating dtype, got {describe(x)}. "
            "Call it with x.astype(jnp.float32), or put an embedding first if these are ids."
        )


def expect_rank(x: Any, rank: int, form: str, hint: str = "") -> None:
    """Refuses x with fewer than `rank` axes; `form` is the shape to show, as `(..., H, W, C)`."""
    expect_array(x, f"an array of shape {form}")
    if len(x.shape) < rank:
        fix = hint or "Add the missing axis: a channel axis is x[..., None], a batch axis x[None]."
        raise ShapeError(f"expected x of shape {form}, got {describe(x)}. {fix}")


def expect_features(x: Any, features: int, form: str = "(..., {})", hint: str = "") -> None:
    """Refuses x whose last axis is not `features`; `form` shows the shape, `{}` for the number."""
    expect_array(x, f"an array of shape {form.format(features)}")
    if not x.shape or x.shape[-1] != features:
        fix = f" {hint}" if hint else ""
        raise ShapeError(f"expected x of shape {form.format(features)}, got {describe(x)}.{fix}")


def is_key(key: Any) -> bool:
    """Whether this is one PRNG key: `jax.random.key(0)`, or the older uint32 form."""
    dtype = getattr(key, "dtype", None)
    if dtype is None:
        return False
    typed = jnp.issubdtype(dtype, jax.dtypes.prng_key)
    return len(key.shape) == (0 if typed else 1) and bool(typed or dtype == np.uint32)


# What the stateful pair puts its own arguments into.
KEYED = "apply(params, x, key=key, train=True)"
ORDERED = "apply takes (params, x) in this order"


def threaded(text: str) -> str:
    """The call as the stateful pair takes it."""
    return text.replace("(params, x", "(params, state, x")


def expect_key(key: Any, call: str = KEYED) -> None:
    """Refuses what is no PRNG key; `call` is the call that works."""
    if not is_key(key):
        raise CallError(f"expected a PRNG key, got {describe(key)}. The call that works: {call}.")
