"""Leaves of params by their paths, dotted as in torch's state dicts: `0.weight`, `encoder.layers.0.linear1.weight`."""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

from jseq._core import calls
from jseq._core.checks import by_path
from jseq._core.shaping import made_with_key
from jseq.core import Layer
from jseq.errors import LayerError, OptionError, ParamsError, near_misses


def get(tree: Any, path: str, error: type[LayerError] = ParamsError) -> Any:
    """The leaf at this path.

    >>> get(({"weight": 1.0}, ()), "0.weight")
    1.0
    """
    leaves = by_path(tree)
    if path not in leaves:
        known = ", ".join(list(leaves)[:8]) + (", ..." if len(leaves) > 8 else "")
        raise error(f"no parameter is called {path!r}.{near_misses(path, leaves)} There are: {known or 'none'}.")
    return leaves[path]


def replace(tree: Any, path: str, value: Any) -> Any:
    """The same tree with another leaf at this path.

    >>> replace(({"weight": 1.0}, ()), "0.weight", 2.0)
    ({'weight': 2.0}, ())
    """
    get(tree, path)
    return edited(tree, path, lambda owner, name: put(owner, name, value))


def remove(tree: Any, path: str) -> Any:
    """The same tree without the leaf at this path, which must stand in a dict.

    >>> remove(({"weight": 1.0, "bias": 0.0}, ()), "0.weight")
    ({'bias': 0.0}, ())
    """
    get(tree, path)

    def without(owner: Any, name: str) -> Any:
        if not isinstance(owner, dict):
            raise OptionError(f"{path!r} stands in a tuple, where it cannot be left out; leaves of dicts can.")
        return {key: leaf for key, leaf in owner.items() if key != name}

    return edited(tree, path, without)


def insert(tree: Any, path: str, value: Any) -> Any:
    """The same tree with a new leaf at this path, where there was none.

    >>> insert(({"bias": 0.0}, ()), "0.weight", 1.0)
    ({'bias': 0.0, 'weight': 1.0}, ())
    """
    if path in by_path(tree):
        raise ParamsError(f"unexpected parameter {path!r}: this model makes it of others. "
                          "Make params with this model's init.")  # fmt: skip
    return edited(tree, path, lambda owner, name: put(owner, name, value))


def put(owner: Any, name: str, value: Any) -> Any:
    """A container with one entry set."""
    if isinstance(owner, dict):
        return {**owner, name: value}
    return tuple(value if str(i) == name else entry for i, entry in enumerate(owner))


def edited(tree: Any, path: str, edit: Callable[[Any, str], Any]) -> Any:
    """Rebuilds the containers along a path around an edit of the last one."""
    name, _, rest = path.partition(".")
    if not rest:
        return edit(tree, name)
    inside: Any = None
    if isinstance(tree, dict):
        inside = tree.get(name)
    elif isinstance(tree, tuple) and name.isdigit() and int(name) < len(tree):
        inside = tree[int(name)]
    if not isinstance(inside, dict | tuple):
        raise ParamsError(f"expected params that hold {path!r}, got none. Make params with this model's init.")
    return put(tree, name, edited(inside, rest, edit))


def joined(path: str, name: str) -> str:
    """The path of what has this name in there."""
    return f"{path}.{name}" if path and name else path or name


def as_paths(select: Any, argument: str = "select") -> tuple[str, ...]:
    """One path, or a tuple of paths, as a tuple."""
    paths: Any = (select,) if isinstance(select, str) else select
    if not isinstance(paths, tuple) or not paths or not all(isinstance(path, str) and path for path in paths):
        raise OptionError(f'expected {argument} to be a path such as "0.weight" or a tuple of paths, got {select!r}.')
    return paths


def declared(layer: Layer) -> Any:
    """The shapes of a layer's params when every size is declared; None when x decides."""
    try:
        return made_with_key(lambda key: calls.run_init(layer, key, None))[0]
    except Exception:  # A size is to be inferred: the paths are looked up at init, where x is known.
        return None


def check_declared(layer: Layer, paths: Iterable[str]) -> None:
    """Refuses paths that the layer does not have, at construction, if its sizes are known by then."""
    shapes = declared(layer)
    for path in paths if shapes is not None else ():
        get(shapes, path, OptionError)


def matching(paths: Iterable[str], pattern: str) -> list[str]:
    """The paths that a pattern names: `*` within one name, `**` over any number of names, `.` or `/` between.

    A pattern that names a container, as a layer's dict of params is, names all that is in it.

    >>> matching(["0.weight", "0.bias", "1.fc.weight"], "**/weight")
    ['0.weight', '1.fc.weight']
    >>> matching(["0.weight", "0.bias", "1.fc.weight"], "0")
    ['0.weight', '0.bias']
    """
    text = ""
    for name in re.split(r"[./]", pattern):
        text += r"(?:[^.]+\.)*" if name == "**" else re.escape(name).replace(r"\*", "[^.]*") + r"\."
    expression = re.compile(text)
    return [path for path in paths if expression.match(path + ".")]


def hint(paths: Iterable[str], pattern: str) -> str:
    """What a pattern that names none of these paths may have meant: ` Did you mean ...?`, and what there is.

    >>> hint(["encoder.0.weight", "head.weight"], "encodr/**/weight")
    " Did you mean 'encoder/**/weight'? There are: encoder.0.weight, head.weight."
    """
    known = list(paths)
    names = sorted({name for path in known for name in path.split(".")})
    words = re.split(r"([./])", pattern)
    repaired = "".join(next(iter(difflib.get_close_matches(w, names, 1)), w) if "*" not in w else w for w in words)
    close = [other for other in (repaired, f"**/{repaired.removeprefix('**/')}") if matching(known, other)][:1]
    close = close or difflib.get_close_matches(pattern.replace("/", "."), known, 3, cutoff=0.5)
    meant = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"{meant} There are: {', '.join(known[:8]) or 'none'}{', ...' if len(known) > 8 else ''}."
