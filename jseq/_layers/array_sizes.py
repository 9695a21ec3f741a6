"""Sizes of arrays as values: what `x.shape[1]` and `c // 2` are before x comes."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from jseq.errors import OptionError

# A number; ("size", i, axis), the size of an axis of the i-th array; ("shape", i, (start, stop, step)), a slice of
# all its sizes; or (operation, one size, another).
Size = Any
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "mod", "pow")
}


def number(size: Size, arrays: tuple[Any, ...]) -> Any:
    """A size of these arrays."""
    if not isinstance(size, tuple):
        return size
    name, one, other = size
    return arrays[one].shape[other] if name == "size" else OPERATIONS[name](number(one, arrays), number(other, arrays))


def numbers(sizes: tuple[Size, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sizes of these arrays."""
    found: tuple[Any, ...] = ()
    for size in sizes:
        if isinstance(size, tuple) and size[0] == "shape":
            found += arrays[size[1]].shape[slice(*size[2])]  # pyright: ignore
        else:
            found += (number(size, arrays),)
    return found


def parted(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """The array, and those that sizes are read off."""
    return (x[0], x[1:]) if isinstance(x, tuple) else (x, ())  # pyright: ignore


def check_word(name: str, word: Any, words: Iterable[str]) -> None:
    """Refuses a word that is none of these, as a damaged config may have."""
    if not isinstance(word, str) or word not in words:
        raise OptionError(f"expected {name} to be one of {', '.join(words)}, got {word!r}.")
