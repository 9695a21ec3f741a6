"""The texts of a picture."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax

from jseq._tools import captions
from jseq._tools.captions import TIMES
from jseq._tools.report import Row
from jseq._tools.summarising import one_line
from jseq._tools.tables import counted
from jseq._tools.wiring import Region, Unit
from jseq.errors import describe

Names = tuple[str, ...]
# What only says how its layers are wired: drawn in the open, but for a chain that has a name.
CHAINS = {"sequential", "mlp", "graph", "with_memory"}
STRUCTURAL = {"layer", "shortcut"}  # the names that residual and its like give
COPYING = {"repeat", "ensemble"}
DOT = " \N{MIDDLE DOT} "


@dataclass
class Labels:
    """Says what there is to say of units.

    Attributes:
        paths: where params stand, by names.
        rows: the figures, by names; nothing if they are not wanted.
        region: all units.
    """

    paths: Mapping[Names, str]
    rows: Mapping[Names, Row]
    region: Region

    def __post_init__(self) -> None:
        units = [unit for unit in walk(self.region) if unit.kind == "layer"]
        dtypes = Counter(str(leaf.dtype) for unit in units for leaf in jax.tree.leaves(unit.y))
        self.usual = dtypes.most_common(1)[0][0] if dtypes else ""
        self.uses = Counter(unit.names for unit in units)

    def name(self, unit: Unit) -> str:
        """The name that a layer has in its model; "" for a number."""
        last = unit.names[-1] if unit.names else ""
        return "" if last.isdigit() or last in STRUCTURAL else last

    def path(self, unit: Unit) -> str:
        """Where the params stand; "2-13" for a run of copies."""
        path = self.paths.get(unit.names, ".".join(filter(None, unit.names)))
        if unit.copies > 1:
            stem, _, first = path.rpartition(".")
            path = ".".join(part for part in (stem, f"{first}-{int(first) + unit.copies - 1}") if part)
        return path

    def title(self, unit: Unit) -> str:
        """The kind of a layer, and how often it stands there."""
        assert unit.layer is not None
        return " ".join(filter(None, [captions.title(unit.layer), self.badge(unit)]))

    def shape(self, unit: Unit) -> str:
        """What a unit gives; the dtype of a layer's is left out where it is that of most."""
        return captions.shape_text(unit.y, self.usual if unit.kind == "layer" else "")

    def detail(self, unit: Unit) -> str:
        """The arguments of a layer, in short, and whether it is used elsewhere too."""
        assert unit.layer is not None
        shared = "shared" if self.uses[unit.names] > 1 else ""
        hidden = {"n"} if unit.layer.name in COPYING else set[str]()  # the badge says it
        return ", ".join(filter(None, [captions.detail(unit.layer, hidden), shared]))

    def note(self, unit: Unit, copies: int = 1) -> str:
        """The figures of a unit, for one of the copies of what is around it."""
        row = self.rows.get(unit.names) if unit.layer else None
        if row is None:
            return ""
        params, flops = row.params * unit.copies // copies, row.flops * unit.copies / copies
        return DOT.join(
            filter(None, [f"{counted(params)} params" if params else "", f"{counted(flops)} FLOPs" if flops else ""])
        )

    def times(self, unit: Unit) -> int:
        """How many copies of what is inside it a combinator has."""
        return unit.layer.arguments["n"] if unit.layer is not None and unit.layer.name in COPYING else 1

    def badge(self, unit: Unit) -> str:
        """How often something stands there: "x 12"."""
        times = unit.copies * self.times(unit)
        return f"{TIMES} {times}" if times > 1 else ""

    def label(self, unit: Unit) -> str:
        """What a frame is called: its name, and what it is unless it is a chain."""
        assert unit.layer is not None
        chain = unit.layer.name in CHAINS and (self.name(unit) or unit.copies > 1)
        return DOT.join(filter(None, [self.name(unit), "" if chain else unit.layer.name]))

    def about(self, unit: Unit) -> str:
        """What is shown of a unit when the pointer rests on it."""
        if unit.layer is None:
            return f"{unit.kind} {unit.label}: {describe(unit.y)}"
        path = f"{self.path(unit)}: " if self.path(unit) else ""
        return "\n".join(filter(None, [path + one_line(unit.layer), describe(unit.y), self.note(unit)]))


def walk(region: Region) -> Iterator[Unit]:
    """All units, those in frames too."""
    for unit in region.units:
        yield unit
        if unit.inside:
            yield from walk(unit.inside)
