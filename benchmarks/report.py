"""Turns figures into Markdown: medians, and ratios to hand-written JAX with their quartiles."""

import importlib.metadata
import platform
import re
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks import workloads
from benchmarks.processes import ALLOCATION, MEASURED

TITLES = {
    "tiny_mlp": "Tiny MLP: what a call costs", "mlp": "MLP", "cnn": "CNN", "transformer": "Transformer",
    "ensemble": f"Ensemble of {workloads.MEMBERS} MLPs", "vmap": "The CNN evaluated image by image, vmapped",
}  # fmt: skip
RULES = """\
Every library in a process of its own, one timed at a time, in rounds whose order rotates; medians. A ratio is to
hand-written JAX (`benchmarks/libraries/hand.py`) in the same round: the median over the rounds, and in brackets their
quartiles. Before anything is timed, the number of parameters, the outputs from equal initial values, and the first
loss are held against hand-written JAX. A training step is the gradient and plain stochastic gradient descent (optax,
`torch.optim`, by hand), without donation except where a library does that itself. FLOPs and temporary memory are what
XLA says of the compiled training step; trace, lower and compile are CPU seconds of the first, with empty
caches and after a collection of garbage. For all: {allocation}."""


def ratios(times: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
    """Median and quartiles of the ratios round by round.

    Example:
        >>> ratios([2.0, 3.0, 8.0], [1.0, 2.0, 2.0])
        (2.0, 1.75, 3.0)
    """
    each = [a / b for a, b in zip(times, base, strict=True)]
    if len(each) < 2:
        return each[0], each[0], each[0]
    low, middle, high = statistics.quantiles(each, n=4, method="inclusive")
    return middle, low, high


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Example:
        >>> print(table(["a", "b"], [["1", "2"]]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def number(value: float | None) -> str:
    """Three figures, or a dash.

    Example:
        >>> number(1234.5), number(0.012345), number(None)
        ('1234', '0.0123', '-')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(value: float) -> str:
    """A time in the unit that suits it.

    Example:
        >>> seconds(2.5), seconds(0.0125), seconds(4.2e-05)
        ('2.5 s', '12.5 ms', '42 us')
    """
    scale, unit = (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "us")
    return f"{number(value * scale)} {unit}"


def spread(times: dict[str, list[float]], variant: str) -> str:
    """A ratio with its quartiles: `0.55 (0.54-0.57)`."""
    middle, low, high = ratios(times[variant], times["hand"])
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def timed_section(name: str, found: dict[str, Any]) -> str:
    """The table of one workload."""
    facts, times = found["facts"], found["times"]
    calls = list(times)
    header = ["library", *(column for call in calls for column in (call, f"{call} / hand"))]
    compiled = "step" in calls
    if compiled:
        header += ["GFLOP", "temporary MB", "trace", "lower", "compile, CPU s"]
    rows: list[list[str]] = []
    order = sorted((v for v in facts if "failed" not in facts[v]), key=lambda v: statistics.median(times[calls[0]][v]))
    for v in order:
        row = [v]
        for call in calls:
            row += [
                seconds(statistics.median(times[call][v])),
                spread(times[call], v) if "hand" in times[call] else "-",
            ]
        if compiled:
            row += [number(f / 1e9) if (f := facts[v].get("flops")) is not None else "-"]
            row += [number(f / 1e6) if (f := facts[v].get("temporary")) is not None else "-"]
            row += [number(facts[v].get(part)) for part in ("trace", "lower", "compile")]
        rows.append(row)
    size = f"`{workloads.size_of(name)}`, {next(iter(facts.values())).get('parameters', 0):,} parameters, "
    notes = [f"- {v}: {facts[v]['failed']}" for v in facts if "failed" in facts[v]]
    notes += [f"- {v}: {facts[v]['note']}" for v in facts if facts[v].get("note")]
    text = [f"## {TITLES[name]}", f"{size}{found['rounds']} rounds, {found['date']}.", table(header, rows)]
    return "\n\n".join([*text, "\n".join(notes)] if notes else text)


def depth_section(found: dict[str, Any]) -> str:
    rows: list[list[str]] = []
    for row in found["rows"]:
        if "failed" in row:
            rows.append([str(row["depth"]), row["variant"], row["failed"], *[""] * 5])
            continue
        parts = [number(row.get(part)) for part in ("trace", "lower")]
        compile = number(row["compile"]) if "compile" in row else f"{number(row['first'])} (first step)"
        temporary = number(row["temporary"] / 1e6) if "temporary" in row else "-"
        start, end = (str(row["depth"]), row["variant"], *parts, compile), (number(row.get("init")), temporary)
        rows.append([*start, seconds(row["step"]), *end])
    header = ["depth", "library", "trace", "lower", "compile, CPU s", "step", "init s", "temporary MB"]
    text = (f"## Depth\n\nEqual residual blocks `{workloads.Chain(1)}`: training step, and initialisation (under jit "
            "with its compilation, eager for libraries whose models are objects; of the plain chain). A library stops "
            f"where compiling passes 60 s, or initialisation. {found['date']}.")  # fmt: skip
    return f"{text}\n\n{table(header, rows)}"


def init_section(found: dict[str, Any]) -> str:
    rows = [[row["library"], "jit" if row["jitted"] else "eager",
             *([row["failed"], ""] if "failed" in row else [number(row["first"]), number(row["second"])])]
            for row in found["rows"]]  # fmt: skip
    head = (
        f"## Initialisation of GPT-2 small\n\n`{workloads.size_of('gpt2')}`, 124 million parameters. {found['date']}."
    )
    return f"{head}\n\n{table(['library', 'how', 'first, with compilation, s', 'second, s'], rows)}"


def import_section(found: dict[str, Any]) -> str:
    rows = [[row["library"] if row["library"] != "hand" else "(jax itself)",
             *([row["failed"], ""] if "failed" in row else [f"{row['wall']:.3f}", f"{row['cpu']:.3f}"])]
            for row in found["rows"]]  # fmt: skip
    head = f"## Import\n\nSeconds that it adds to `import jax`; torch's own are without jax. {found['date']}."
    return f"{head}\n\n{table(['library', 'wall s', 'CPU s'], rows)}"


def memory_section(found: dict[str, Any]) -> str:
    rows: list[list[str]] = []
    for row in found["rows"]:
        sizes = (
            [number(row[name] / 1e6) for name in ("imported", "trained")]
            if "failed" not in row
            else [row["failed"], ""]
        )
        rows.append([row["workload"], row["variant"], *sizes])
    head = (
        f"## Memory\n\nPeak resident MB of a process: after the import, and after five training steps. {found['date']}."
    )
    return f"{head}\n\n{table(['workload', 'library', 'imported MB', 'trained MB'], rows)}"


def markdown(results: dict[str, Any]) -> str:
    """The whole file."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = (f"{machine['chip']}; {machine['processor']}, {machine['used']} of {machine['cores']} cores used. "
             f"{versions}. {machine['date']}.")  # fmt: skip
    allocation = " ".join(f"`{name}={value}`" for name, value in ALLOCATION.items())
    sections = [timed_section(name, results[name]) for name in TITLES if name in results]
    makers = {"depth": depth_section, "init": init_section, "import": import_section, "memory": memory_section}
    sections += [make(results[name]) for name, make in makers.items() if name in results]
    return "\n\n".join(["# jseq beside its peers", where, RULES.format(allocation=allocation), *sections]) + "\n"


def versions() -> dict[str, str]:
    """The versions of what is measured and installed."""
    found = {"python": platform.python_version()}
    for name in ("jseq", *MEASURED):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine_name(chip: str, processor: str) -> str:
    """The name of the file: the chip's, or the processor's where it computes.

    Example:
        >>> machine_name("cpu", "AMD EPYC 9B14 (R)"), machine_name("NVIDIA H100 80GB HBM3", "x")
        ('amd-epyc-9b14-r', 'nvidia-h100-80gb-hbm3')
    """
    return re.sub(r"[^a-z0-9]+", "-", (processor if chip == "cpu" else chip).lower()).strip("-")
