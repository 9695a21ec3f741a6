"""Measures jseq beside hand-written JAX and its peers, and writes `results/<machine>.md`.

Every library has a process of its own, and one is at work at a time. A workload is prepared by all, held against
hand-written JAX (number of parameters, outputs, first losses), and then timed in rounds whose order rotates; a ratio is
the median over the rounds of what the library took to what hand-written JAX took in the same round.

    python -m benchmarks --only cnn transformer --libraries jseq linen --rounds 5
    BENCH_SIZES=large python -m benchmarks --only cnn --threads 16 --together 2  # on a GPU: larger, bfloat16 too

XLA picks the kernels of a GPU by timing them while it compiles, which others that compile there disturb: compiled
beside eight, hand-written JAX's transformer took 32.1 ms a step, beside one 22.5. All libraries share the timings, so
that equal products have equal kernels; the first that has a product pays for them in its seconds of compilation.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import jobs, oneshot, report
from benchmarks.processes import Failure, Process, cores_of
from benchmarks.workloads import LARGE, TIMED

LIBRARIES = ("hand", "jseq", "stax", "nnx", "linen", "equinox", "haiku", "keras", "torch")
SECTIONS = (*TIMED, *oneshot.SECTIONS)
CALLS = ("step", "forward")
TOLERANCE = 2e-2 if LARGE else 1e-4  # relative to the largest output; GPUs multiply float32 in TF32
LOSS = 0.05  # relative to the first loss; bfloat16 is held to it as well
MASKED = 0.1  # the same where the masks of dropout differ: the CNN's moves by up to 0.055 with them
RESULTS = Path(__file__).resolve().parent / "results"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def prepared(processes: list[Process], workload: str, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The facts of every variant that has the workload; those that fail are named with the reason."""
    facts: dict[str, dict[str, Any]] = {}
    outputs: dict[str, np.ndarray] = {}

    def prepare(process: Process) -> None:
        for variant in names(process, workload, options):
            path = f"{folder}/{variant}.npy"
            start = time.perf_counter()
            try:
                facts[variant] = process.ask("prepare", workload=workload, variant=variant, outputs=path)
                outputs[variant] = np.load(path)
            except Failure as failure:
                facts[variant] = {"failed": str(failure)}
            say(f"  {variant}: ready in {time.perf_counter() - start:.1f} s")

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.together) as pool:
        list(pool.map(prepare, processes))
    facts = {variant: facts[variant] for process in processes for variant in names(process, workload, options)}
    verify(facts, outputs, MASKED if jobs.is_random(workload) else LOSS)
    return facts


def names(process: Process, workload: str, options: argparse.Namespace) -> list[str]:
    """The variants of a library that have a workload and were not left out."""
    return [variant for variant in process.names(workload) if variant not in options.without]


def verify(facts: dict[str, dict[str, Any]], outputs: dict[str, np.ndarray], closeness: float = LOSS) -> None:
    """Holds each variant against hand-written JAX; one that computes something else is not timed."""
    if "failed" in facts.get("hand", {"failed": ""}):
        return
    hand, scale = facts["hand"], np.abs(outputs["hand"]).max()
    for variant, found in facts.items():
        if "failed" in found:
            continue
        wrong: list[str] = []
        if found["parameters"] != hand["parameters"]:
            wrong.append(f"{found['parameters']} parameters, not {hand['parameters']}")
        if not found["note"]:
            found["error"] = float(np.abs(outputs[variant].ravel() - outputs["hand"].ravel()).max() / scale)
            wrong += [f"outputs off by {found['error']:.1e}"] if not found["error"] < TOLERANCE else []
        if not math.isclose(found["losses"][0], hand["losses"][0], rel_tol=closeness):
            wrong.append(f"first loss {found['losses'][0]:.3f}, not {hand['losses'][0]:.3f}")
        if wrong:
            found["failed"] = "does not compute the same: " + ", ".join(wrong)


def timed(processes: list[Process], workload: str, options: argparse.Namespace) -> dict[str, Any]:
    """Prepares a workload everywhere and runs the rounds; each call is timed for so many seconds a round."""
    facts = prepared(processes, workload, options)
    for variant, found in facts.items():
        say(f"  {variant}: " + (found["failed"] if "failed" in found else f"{1e3 * found['step']:.2f} ms a step"))
    entries = [(p, v) for p in processes for v in names(p, workload, options) if "failed" not in facts[v]]
    calls = CALLS[1:] if workload == "vmap" else CALLS
    times: dict[str, dict[str, list[float]]] = {call: {v: [] for _, v in entries} for call in calls}
    for number in range(options.rounds + 1):
        shift = number % max(len(entries), 1)
        for process, variant in entries[shift:] + entries[:shift]:
            for call in calls:
                repeats = max(1, min(2000, round(options.seconds / facts[variant][call])))
                seconds = process.ask("round", variant=variant, call=call, calls=repeats)
                if number:
                    times[call][variant].append(seconds)
                else:
                    facts[variant][call] = seconds  # the first round warms up, and says how many calls fit
    for process in processes:
        process.ask("release")
    return {"facts": facts, "times": times}


def start(libraries: Iterable[str], threads: int, worker: str = "benchmarks.worker") -> list[Process]:
    """One process a library; those that are not installed are named and left out."""
    started: list[Process] = []
    for library in libraries:
        try:
            started.append(Process(library, threads, worker))
        except Failure as failure:
            say(f"{library} is left out: {failure}")
    return started


def processor() -> str:
    """The processor with its family and model: clouds call EPYCs of Zen 4 and Zen 5 alike, whose figures differ."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in lines}
    kind = [f"{name.split()[-1]} {facts[name]}" for name in ("cpu family", "model") if name in facts]
    return facts.get("model name", "unknown") + (f" ({', '.join(kind)})" if kind else "")


def machine_of(threads: int, process: Process) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "chip": process.ask("chip"), "processor": processor(), "cores": os.cpu_count(), "used": len(cores_of(threads)),
        "versions": report.versions(), "date": date.today().isoformat(),
    }  # fmt: skip


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION",
                        help=f"of {', '.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES, metavar="LIBRARY",
                        help=f"of {', '.join(LIBRARIES)}; hand is always there")  # fmt: skip
    parser.add_argument("--rounds", type=int, help="15 (quick: 3)")
    parser.add_argument("--threads", type=int, default=1, help="cores for each library, the same for all")
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--seconds", type=float, help="that a call is timed for in a round: 0.3 (quick: 0.05)")
    parser.add_argument("--together", type=int, default=1, help="libraries that compile at once; timed one by one")
    parser.add_argument("--without", nargs="+", default=[], metavar="VARIANT", help="such as 'torch compile'")
    parser.add_argument("--quick", action="store_true", help="few short rounds and shallow depths: a smoke test")
    parser.add_argument("--machine", help="name of the file in benchmarks/results")
    options = parser.parse_args([part for a in arguments for part in a.split(",")] if arguments is not None else None)
    options.rounds = options.rounds or (3 if options.quick else 15)
    options.seconds = options.seconds or (0.05 if options.quick else 0.3)
    if options.quick:
        options.depths = [n for n in options.depths if n <= 32]
    return options


def measure(options: argparse.Namespace) -> Path:
    """Runs the sections, and writes the file after each of their parts, so that what is interrupted is kept.

    A file of the same machine is continued: the sections that are measured anew replace the old ones.
    """
    libraries = ["hand", *(name for name in options.libraries if name != "hand")]
    sections = [name for name in TIMED if name in options.only]
    processes = start(libraries if sections else ["hand"], options.threads)
    machine = machine_of(options.threads, processes[0])
    path = RESULTS / (options.machine or report.machine_name(machine["chip"], machine["processor"]))
    kept = path.with_suffix(".json")
    results = {**(json.loads(kept.read_text()) if kept.exists() else {}), "machine": machine}
    for workload in sections:
        say(workload)
        found = timed(processes, workload, options)
        results[workload] = {**found, "date": date.today().isoformat(), "rounds": options.rounds}
        save(results, path)
    for process in processes:
        process.close()
    for name in (name for name in oneshot.SECTIONS if name in options.only):
        say(name)
        rows: list[dict[str, Any]] = []
        for row in oneshot.SECTIONS[name](libraries, options, say):
            rows.append(row)
            results[name] = {"rows": rows, "date": date.today().isoformat()}
            save(results, path)
    draw(results, path)
    return path.with_suffix(".md")


def save(results: dict[str, Any], path: Path) -> None:
    """Writes the figures, and the table made of them."""
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(report.markdown(results))


def draw(results: dict[str, Any], path: Path) -> None:
    """Draws the pictures, where matplotlib is there."""
    try:
        from benchmarks import pictures
    except ModuleNotFoundError:
        say("no pictures: matplotlib is not installed")
        return
    for picture in pictures.draw(results, path.parent, path.name):
        say(f"drawn {picture}")


def main(arguments: list[str] | None = None) -> None:
    path = measure(options_of(arguments))
    print(path.read_text())
    print(f"written to {path}")
