"""Folding in graphs: runs of steps in which each value is read once, by the next step."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from jseq._combinators import paths
from jseq._combinators.children import Children
from jseq._combinators.dataflow import INPUT
from jseq._combinators.graph import branch, parallel
from jseq._combinators.sequential import sequential
from jseq._tools.pieces import Chain, Item, Trees
from jseq.core import Layer, rebuild

if TYPE_CHECKING:
    from jseq._tools.fusing import Fuser

Node = Item | Chain
Steps = dict[str, tuple[str, ...]]


class Graph:
    """A graph taken apart: the layers that steps name, by their paths."""

    def __init__(self, fuser: "Fuser", item: Item):
        self.fuser, self.item = fuser, item
        self.steps: Steps = dict(item.layer.arguments["steps"])
        self.uses = Counter(name for name, *_ in self.steps.values())
        self.nodes: dict[str, Node] = {}
        self.trees = self.opened(item.layer, item.params, item.state, "")

    def opened(self, layer: Layer, params: Any, state: Any, prefix: str) -> dict[str, Any]:
        """The children of a container: nodes where steps name them, containers of such, and trees of others."""
        found: dict[str, Any] = {}
        for child, p, s in Children(layer.children).zip(params, state):
            path = prefix + child.name
            whole, inside = path in self.uses, any(name.startswith(path + ".") for name in self.uses)
            if whole and not inside:
                found[child.name] = self.nodes[path] = self.fuser.opened(
                    child.layer, p, s, paths.joined(self.item.path, path)
                )
            elif inside and not whole and child.layer.constructor in (sequential, branch, parallel):
                found[child.name] = child.layer, self.opened(child.layer, p, s, path + ".")
            else:
                found[child.name] = child.layer, p, s
        return found

    def runs(self) -> list[list[Node]]:
        """The nodes in runs, each applied to what the one before gives, which nothing else reads."""
        readers = Counter(value for _, *inputs in self.steps.values() for value in inputs)
        runs: list[list[Node]] = []
        ending: dict[str, list[Node]] = {}
        for value, (name, *inputs) in self.steps.items():
            if name not in self.nodes:
                continue
            once = self.uses[name] == 1
            run = ending.get(inputs[0]) if once and len(inputs) == 1 and readers[inputs[0]] == 1 else None
            if run is None:
                run = []
                runs.append(run)
            if self.nodes[name] not in run:
                run.append(self.nodes[name])
            if once:
                ending[value] = run
        return runs

    def left(self) -> Steps:
        """The steps without those of layers that are gone."""
        kept: Steps = {}
        same = {INPUT: INPUT}
        last = list(self.steps)[-1]
        for value, (name, *inputs) in self.steps.items():
            now = [same[read] for read in inputs]
            gone = name in self.nodes and not self.nodes[name].leaves() and len(now) == 1
            if gone and (value != last or (kept and list(kept)[-1] == now[0])):
                same[value] = now[0]
            else:
                same[value], kept[value] = value, (name, *now)
        return kept

    def closed(self, layer: Layer, entries: dict[str, Any], steps: Steps | None = None) -> Trees:
        """A container put together again; the graph itself without the layers that no step names any more."""
        made: dict[str, Trees] = {}
        named = {name for name, *_ in (steps or {}).values()}
        for name, entry in entries.items():
            if not isinstance(entry, tuple):
                if steps is None or name in named or entry.leaves():
                    made[name] = entry.closed()
            elif len(entry) == 2:  # pyright: ignore[reportUnknownArgumentType]
                made[name] = self.closed(*entry)
            else:
                made[name] = entry
        children = Children(layer.children)
        layers, params, state = ({name: trees[i] for name, trees in made.items()} for i in range(3))
        if steps is not None:
            return rebuild(layer.constructor, {"layers": layers, "steps": steps}), params, state
        if children.named:
            return layer.constructor(layers), params, state
        return layer.constructor(*layers.values()), tuple(params.values()), tuple(state.values())


def fused(fuser: "Fuser", item: Item) -> Trees:
    """A graph with its layers folded and steps of layers that are gone taken out."""
    graph = Graph(fuser, item)
    for run in graph.runs():
        fuser.fold([leaf for node in run for leaf in node.leaves()])
    steps = graph.left()
    return graph.closed(item.layer, graph.trees, steps)
