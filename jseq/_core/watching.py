"""Who looks on while the layers of a model are applied: nobody, except in `summary` and its like.

A watcher stands in for `calls.run_apply` wherever a combinator applies a child: it is called with the names of the
children on the way down and the arguments of the call, which it makes itself. Profiles see the same places as
`jax.named_scope`s.
"""

import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any

# (names, layer, params, state, x, key, train, context) -> (y, state)
Watcher = Callable[..., tuple[Any, Any]]


class Watch(threading.local):
    """The watcher of this thread, None for nobody, and the names of the children on the way down."""

    watcher: Watcher | None = None
    names: tuple[str, ...] = ()


WATCH = Watch()


@contextlib.contextmanager
def watched_by(watcher: Watcher | None) -> Generator[None, None, None]:
    """Has a watcher look on, or nobody, at a model that is applied in here."""
    before = WATCH.watcher, WATCH.names
    WATCH.watcher, WATCH.names = watcher, ()
    try:
        yield
    finally:
        WATCH.watcher, WATCH.names = before


@contextlib.contextmanager
def inside(name: str) -> Generator[None, None, None]:
    """Puts a child's name on the way down."""
    names = WATCH.names
    WATCH.names = (*names, name)
    try:
        yield
    finally:
        WATCH.names = names


def step(name: str, *call: Any) -> tuple[Any, Any]:
    """Applies a child under the eyes of the watcher."""
    watcher = WATCH.watcher
    assert watcher is not None  # whoever calls has looked: a model that nobody watches pays for that look alone
    with inside(name):
        return watcher(WATCH.names, *call)
