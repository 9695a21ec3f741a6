"""The order of axes of each value: jseq's own (layout 0), or (N, C, *spatial) where jseq has n spatial axes before C.

A layout is a number, or a tuple of layouts for a tuple of values. The moves here are plain objects, so that a module
that holds them pickles; they name no torch, and use the methods of its tensors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Layout = Any  # int, or a tuple of layouts


def collapsed(layouts: Any) -> Layout:
    """One number for a tuple of equal layouts."""
    if not isinstance(layouts, tuple):
        return layouts
    inside: set[Any] = {collapsed(layout) for layout in layouts}  # pyright: ignore[reportUnknownVariableType]
    return inside.pop() if len(inside) == 1 else layouts  # pyright: ignore[reportUnknownVariableType]


def entry(layout: Layout, i: int) -> Layout:
    """The layout of one entry of a tuple."""
    return layout[i] if isinstance(layout, tuple) else layout


def first(layout: Layout) -> int:
    """The layout of the first array of a tuple."""
    while isinstance(layout, tuple):
        layout = layout[0] if layout else 0  # pyright: ignore[reportUnknownVariableType]
    return layout  # pyright: ignore[reportUnknownVariableType]


def axis_in(axis: int, layout: int) -> int:
    """Where an axis of jseq's (N, *spatial, C) stands in (N, C, *spatial); counted from the end but for N."""
    if layout == 0 or axis == 0:
        return axis
    place = axis - layout - 2 if axis > 0 else axis
    if place == -1:
        return -1 - layout
    return place + 1 if place >= -1 - layout else place


@dataclass(frozen=True)
class Move:
    """Moves the channels of a value, or of each array in a tuple, from one layout to another."""

    have: Layout
    want: Layout

    def __call__(self, x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(Move(entry(self.have, i), entry(self.want, i))(v) for i, v in enumerate(x))  # pyright: ignore
        if self.have == self.want:
            return x
        x = x.movedim(-1 - self.have, -1) if self.have else x
        return x.movedim(-1, -1 - self.want) if self.want else x


def one(args: tuple[Any, ...]) -> Any:
    """The value that a module is called with: one argument, or the tuple of several."""
    return args[0] if len(args) == 1 else args


@dataclass(frozen=True)
class Before:
    """A hook that changes what a module is given."""

    change: Callable[[Any], Any]

    def __call__(self, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.change(one(args)),)


@dataclass(frozen=True)
class After:
    """A hook that changes what a module gives."""

    change: Callable[[Any], Any]

    def __call__(self, module: Any, args: tuple[Any, ...], y: Any) -> Any:
        return self.change(y)


@dataclass(frozen=True)
class Spread:
    """A hook that gives the entries of a tuple as arguments, and more behind them."""

    more: tuple[Any, ...] = ()

    def __call__(self, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        given = one(args)
        return (*given, *self.more) if isinstance(given, tuple) else (given, *self.more)


def before(module: Any, change: Callable[[Any], Any]) -> Any:
    """The module, given what a function makes of its input."""
    module.register_forward_pre_hook(Before(change), prepend=True)
    return module


def after(module: Any, change: Callable[[Any], Any]) -> Any:
    """The module, with a function behind it."""
    module.register_forward_hook(After(change))
    return module


def spread(module: Any, *more: Any) -> Any:
    """A module of several arguments, which takes a tuple too."""
    module.register_forward_pre_hook(Spread(more))
    return module


def entered(module: Any, have: Layout, want: Layout) -> Any:
    """The module that takes `want`, for an input in layout `have`."""
    return module if collapsed(have) == collapsed(want) else before(module, Move(have, want))


def left(module: Any, have: Layout, want: Layout) -> Any:
    """The module that gives `have`, for those who want another layout."""
    return module if collapsed(have) == collapsed(want) else after(module, Move(have, want))
