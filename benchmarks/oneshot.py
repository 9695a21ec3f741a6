"""What happens once in a process: tracing and compiling by depth, initialisation, import, memory.

Every figure comes from fresh processes, started in turn; where there are several rounds, the median is kept.
"""

import argparse
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.processes import ROOT, Failure, Process, environment

Say = Callable[[str], None]
PATIENCE = 60  # seconds of compilation after which a library is not asked for more depth
IMPORTS = {"hand": "pass", "stax": "from jax.example_libraries import stax", "jseq": "import jseq",
           "nnx": "from flax import nnx", "linen": "import flax.linen", "equinox": "import equinox",
           "haiku": "import haiku", "keras": "import keras", "torch": "import torch"}  # fmt: skip
CLOCK = """
import time
{before}
start, cpu = time.perf_counter(), time.process_time()
{program}
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def rotated(entries: list[Any], rounds: int) -> Iterator[Any]:
    """Each entry once a round, beginning with another each time."""
    for number in range(rounds):
        shift = number % len(entries)
        yield from entries[shift:] + entries[:shift]


def variants(libraries: list[str], workload: str, threads: int) -> list[tuple[str, str]]:
    """The pairs of library and variant that have a workload."""
    found: list[tuple[str, str]] = []
    for library in libraries:
        try:
            process = Process(library, threads)
        except Failure:
            continue
        found += [(library, variant) for variant in process.names(workload)]
        process.close()
    return found


def asked(library: str, threads: int, command: str, seconds: float = 900, **arguments: Any) -> dict[str, Any]:
    """The answer of a fresh process to one command, or {"failed": why}."""
    try:
        process = Process(library, threads)
    except Failure as failure:
        return {"failed": str(failure)}
    try:
        return process.ask(command, seconds, **arguments)
    except Failure as failure:
        return {"failed": str(failure)}
    finally:
        process.close()


def depth(libraries: list[str], options: argparse.Namespace, say: Say) -> Iterator[dict[str, Any]]:
    """One row for each variant and depth, until compiling takes longer than a minute; so, too, its initial values."""
    patient = set(libraries)
    going = [pair for pair in variants(libraries, "chain:1", options.threads) if pair[1] not in options.without]
    for n in options.depths:
        for library, variant in list(going):
            row = {"variant": variant, "depth": n}
            row |= asked(library, options.threads, "depth", 6 * PATIENCE, workload=f"chain:{n}", variant=variant)
            if variant == library and library in patient:  # its variants draw initial values alike
                row["init"] = asked(library, options.threads, "init", 6 * PATIENCE, workload=f"chain:{n}").get("first")
                patient -= {library} if (row["init"] or math.inf) > PATIENCE else set()
            yield row
            seconds = row.get("compile", row.get("first", 0.0))  # some compile within the first step
            say(f"  {n} {variant}: {row.get('failed', f'compiled in {seconds:.1f} s')}")
            if "failed" in row or seconds > PATIENCE:
                going.remove((library, variant))


def init(libraries: list[str], options: argparse.Namespace, say: Say) -> Iterator[dict[str, Any]]:
    """Initialisation of GPT-2 small, under jit with its compilation and eagerly, the first time and the second."""
    found: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    able = {library for library, _ in variants(libraries, "gpt2", options.threads)}
    eager = ("keras", "torch")  # draw their initial values outside of any compilation
    entries = [(library, jitted) for library in libraries if library in able for jitted in (True, False)
               if not (jitted and library in eager)]  # fmt: skip
    for library, jitted in rotated(entries, 1 if options.quick else 3):
        answer = asked(library, options.threads, "init", workload="gpt2", jitted=jitted)
        found.setdefault((library, jitted), []).append(answer)
        say(f"  {library} {'jit' if jitted else 'eager'}: {answer}")
    for (library, jitted), answers in found.items():
        yield {"library": library, "jitted": jitted, **median_of(answers)}


def memory(libraries: list[str], options: argparse.Namespace, say: Say) -> Iterator[dict[str, Any]]:
    """Peak resident size after five training steps, and after the import alone."""
    for workload in ("cnn", "transformer"):
        for library, variant in variants(libraries, workload, options.threads):
            answer = asked(library, options.threads, "memory", workload=workload, variant=variant, steps=5)
            yield {"workload": workload, "variant": variant, **answer}
            say(f"  {workload} {variant}: {answer}")


def imports(libraries: list[str], options: argparse.Namespace, say: Say) -> Iterator[dict[str, Any]]:
    """Seconds that importing a library adds to `import jax`; torch's own, without jax."""
    found: dict[str, list[dict[str, Any]]] = {}
    for library in rotated(libraries, 3 if options.quick else 11):
        before = "import jax" if library not in ("torch", "hand") else ""
        program = "import jax" if library == "hand" else IMPORTS[library]
        source = CLOCK.format(before=before, program=program)
        done = subprocess.run([sys.executable, "-c", source], env=environment(options.threads), cwd=ROOT,
                              capture_output=True, text=True)  # fmt: skip
        if done.returncode:
            answer = {"failed": done.stderr.strip().splitlines()[-1]}
        else:
            answer = dict(zip(("wall", "cpu"), map(float, done.stdout.split()), strict=True))
        found.setdefault(library, []).append(answer)
    for library, answers in found.items():
        yield {"library": library, **median_of(answers)}


def median_of(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure; the first failure if there is one."""
    failed = [answer for answer in answers if "failed" in answer]
    if failed:
        return failed[0]
    return {name: statistics.median(answer[name] for answer in answers) for name in answers[0]}


SECTIONS = {"depth": depth, "init": init, "import": imports, "memory": memory}
