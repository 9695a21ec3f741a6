"""The order of axes: torch's own (layout 0), or channels-last with n spatial axes where torch has (N, C, *spatial)."""

from dataclasses import dataclass

from jseq._combinators.adapt import adapt
from jseq._combinators.layout import channels_first
from jseq._layers.shape import permute
from jseq.core import Layer
from jseq.errors import ConversionError


@dataclass(frozen=True)
class Axes:
    """What is known of an array's axes.

    Attributes:
        layout: their order: 0 for torch's, n for channels-last with n spatial axes.
        rank: their number where the layout is 0; None if it is not known.
        given: whether they are those of the model's input, of which `spatial_dims` speaks: `(N, C)` unless it says so.
    """

    layout: int = 0
    rank: int | None = None
    given: bool = False

    @property
    def number(self) -> int | None:
        """The number of axes, if it is known."""
        return self.layout + 2 if self.layout else self.rank

    def moved(self, want: int) -> "Axes":
        """The axes in this layout."""
        if self.layout == want:
            return self
        if want and self.number not in (None, want + 2):
            gets = self.layout or f"an array of {self.number} axes; of a batch it takes {want + 2}"
            raise ConversionError(f"it takes {want} spatial axes, and gets {gets}.")
        return Axes(want) if want else Axes(0, self.number)

    def plus(self, more: int) -> "Axes":
        """Axes of which some were added or taken away."""
        return Axes(0, None if self.rank is None else self.rank + more)


def to_last(n: int) -> Layer:
    """Moves the channels of n spatial axes to the end."""
    return permute((*range(-n, 0), -n - 1))


def to_first(n: int) -> Layer:
    """Moves the channels in front of n spatial axes."""
    return permute((-1, *range(-n - 1, -1)))


def fitted(layer: Layer, have: int, want: int) -> Layer:
    """A layer that takes layout `want`, for an input in layout `have`."""
    if have == want:
        return layer
    if have and want:
        raise ConversionError(f"{layer.brief} takes {want} spatial axes, and gets {have}.")
    return adapt(layer, to_last(want) if want else to_first(have))


def bordered(layer: Layer, enters: int, leaves: int) -> Layer:
    """A model that takes and gives torch's own order, around one that takes and gives these layouts."""
    if enters == leaves == 0:
        return layer
    if enters == leaves:
        return channels_first(layer, enters)
    if leaves == 0:
        return channels_first(layer, enters, output="features")
    return adapt(layer, to_last(enters) if enters else None, to_first(leaves))
