"""Draws a file of results: bars of the ratios to hand-written JAX, and time against depth. Needs matplotlib.

python -m benchmarks.pictures benchmarks/results/<machine>.json [--to docs/_static]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks import report

matplotlib.rcParams["svg.fonttype"] = "none"  # text as text: small files
OURS, THEIRS, YARDSTICK = "#1f77b4", "#b0b7bf", "#444444"
BARS = ("tiny_mlp", "mlp", "cnn", "transformer")
LINES = (("trace", "trace, CPU s"), ("compile", "compile, CPU s"), ("step", "step, s"))


def bars(results: dict[str, Any], call: str) -> Any:
    """One panel a workload: the ratio of each library, with its quartiles; the longest bars are cut."""
    names = [name for name in BARS if name in results and results[name]["times"][call].get("hand")]
    figure, panels = pyplot.subplots(1, len(names), figsize=(3.4 * len(names), 3.6), squeeze=False)
    for panel, name in zip(panels[0], names, strict=True):
        times = results[name]["times"][call]
        found = sorted(((report.ratios(t, times["hand"]), library) for library, t in times.items()), reverse=True)
        most = 1.05 * min(max(middle for (middle, _, _), _ in found), 2.5)
        for place, ((middle, low, high), library) in enumerate(found):
            colour = OURS if library.startswith("jseq") else YARDSTICK if library == "hand" else THEIRS
            panel.barh(place, min(middle, most), color=colour)
            if middle < most:
                panel.errorbar(middle, place, xerr=[[middle - low], [high - middle]], color="black", linewidth=0.8)
            inside = middle > 0.8 * most
            panel.text(min(middle, most) * (0.97 if inside else 1.04), place, f"{middle:.2f}", va="center", fontsize=7,
                       ha="right" if inside else "left", color="white" if inside else "black")  # fmt: skip
        panel.axvline(1, color=YARDSTICK, linewidth=0.8)
        panel.set(yticks=range(len(found)), xlim=(0, most), title=report.TITLES[name].partition(":")[0])
        panel.set_yticklabels([library for _, library in found], fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"{'training step' if call == 'step' else 'evaluation'}, ratio to hand-written JAX", fontsize=9)
    figure.tight_layout()
    return figure


def depths(rows: list[dict[str, Any]]) -> Any:
    """Trace, compile and step against the number of equal blocks."""
    figure, panels = pyplot.subplots(1, len(LINES), figsize=(12, 3.8))
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    colours = dict(zip(variants, pyplot.get_cmap("tab20").colors, strict=False))
    for panel, (part, label) in zip(panels, LINES, strict=True):
        for variant in variants:
            points = [(row["depth"], row[part]) for row in rows if row["variant"] == variant and part in row]
            if points:
                ours = variant.startswith("jseq")
                panel.plot(*zip(*points, strict=True), marker="o", markersize=3, label=variant, color=colours[variant],
                           linewidth=2.4 if ours else 1, zorder=3 if ours else 2,
                           linestyle="--" if variant.endswith(("scan", "repeat")) else "-")  # fmt: skip
        panel.set(xscale="log", yscale="log", xlabel="blocks", ylabel=label)
        ticks = sorted({row["depth"] for row in rows})
        panel.set_xticks(ticks, [str(n) for n in ticks])
        panel.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0, 0.87, 1))
    return figure


def draw(results: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Writes the pictures that the results have figures for."""
    figures: dict[str, Any] = {}
    if any(name in results for name in BARS):
        figures |= {call: bars(results, call) for call in ("step", "forward")}
    if any("failed" not in row for row in results.get("depth", {}).get("rows", [])):
        figures["depth"] = depths([row for row in results["depth"]["rows"] if "failed" not in row])
    written: list[Path] = []
    for kind, figure in figures.items():
        written.append(folder / f"{name}-{kind}.svg")
        figure.savefig(written[-1], metadata={"Date": None})
        pyplot.close(figure)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--to", type=Path, help="folder; that of the results")
    options = parser.parse_args()
    written = draw(json.loads(options.results.read_text()), options.to or options.results.parent, options.results.stem)
    print("\n".join(str(path) for path in written))


if __name__ == "__main__":
    main()
