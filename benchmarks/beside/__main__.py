"""Runs the same model in eight libraries, each in its own process, and writes what came of it.

    python -m benchmarks.beside

Each program trains, and is held against what it should compute. Then it makes the mistakes of `data.py`, and is timed
in rounds whose order rotates. `benchmarks/results/beside.json` has everything, `beside.md` the tables, and those of
the page in the docs are replaced.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import run
from benchmarks.beside import data, report
from benchmarks.oneshot import rotated
from benchmarks.processes import ROOT, Process

RESULTS = ROOT / "benchmarks" / "results" / "beside"
PAGE = ROOT / "docs" / "explanation" / "beside-other-libraries.md"
PROGRAMS = Path(__file__).parent / "programs"
TARGET = 0.3  # seconds that a library's steps take in a round


def wrong(found: dict[str, Any]) -> list[str]:
    """What a program does not compute as it should."""
    reasons: list[str] = []
    if found["parameters"] != data.PARAMETERS:
        reasons.append(f"{found['parameters']} parameters, not {data.PARAMETERS}")
    first, last = found["losses"][0], found["losses"][-1]
    if not last < first / 2:
        reasons.append(f"the loss went from {first:.3f} to {last:.3f}")
    return reasons


def timed(processes: list[Process], call: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of the first step, or of a later one, by library and round; the first round warms up."""
    times: dict[str, list[float]] = {}
    calls = dict.fromkeys((p.library for p in processes), 2)
    for number, process in enumerate(rotated(processes, rounds + 1)):
        if call == "first":
            seconds = process.ask("first")
        else:
            seconds = process.ask("round", variant="program", call=call, calls=calls[process.library])
            calls[process.library] = max(2, round(TARGET / seconds))
        if seconds is not None and number >= len(processes):
            times.setdefault(process.library, []).append(seconds)
    return times


def measure(rounds: int, threads: int) -> dict[str, Any]:
    processes = run.start(data.LIBRARIES, threads, "benchmarks.beside.worker")
    if len(processes) < len(data.LIBRARIES):
        sys.exit(
            "all libraries are needed: make .venv/.installed-peers installs them; BENCH_TRACEBACKS=1 shows errors."
        )
    results: dict[str, Any] = {"machine": run.machine_of(threads, processes[0]), "rounds": rounds, "libraries": {}}
    for process in processes:
        name = process.library
        found = {"lines": report.counted((PROGRAMS / f"{name}.py").read_text()), **process.ask("trained")}
        run.say(f"{name}: loss {found['losses'][0]:.3f} to {found['losses'][-1]:.3f}")
        if wrong(found):
            sys.exit(f"{name} does not compute what it should: {', '.join(wrong(found))}.")
        results["libraries"][name] = {**found, "mistakes": process.ask("mistakes")}
    for call, times in (("step", rounds), ("first", max(3, rounds // 3))):
        run.say(f"timing the {call}, {times} rounds")
        results[call] = timed(processes, call, times)
    for process in processes:
        process.close()
    return results


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="cores for each library, the same for all")
    options = parser.parse_args(arguments)
    results = measure(options.rounds, options.threads)
    RESULTS.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(report.markdown(results))
    if PAGE.exists():
        PAGE.write_text(report.filled(PAGE.read_text(), results))
    print(f"{report.lines_table(results)}\n\n{report.mistakes_table(results)}\n\n{report.times_table(results)}")
    print(f"written to {RESULTS}.json, {RESULTS}.md and {PAGE}")


if __name__ == "__main__":
    main()
