"""One library in one process: it answers the coordinator line by line over its pipes, and measures only when asked.

Started by `run.py`; a request is a line of JSON {"command": ..., arguments}, the answer one too.
"""

import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import resource
import sys
import time
from typing import Any

import numpy as np


def peak() -> int:
    """Largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def wait_for(job: Any, result: Any) -> Any:
    """Blocks until a result is there."""
    if job.wait is not None:
        job.wait(result)
    return result


def compile_apart(traced: Any) -> dict[str, float]:
    """Lowers and compiles what was traced: CPU seconds, FLOPs, bytes accessed, bytes of temporaries."""
    facts: dict[str, float] = {}
    start = time.process_time()
    lowered = traced.lower() if hasattr(traced, "lower") else traced
    facts["lower"] = time.process_time() - start
    start = time.process_time()
    compiled = lowered.compile()
    facts["compile"] = time.process_time() - start
    with contextlib.suppress(Exception):  # equinox wraps what jax compiles
        compiled = getattr(compiled, "compiled", compiled)
    costs = compiled.cost_analysis() or {}
    facts |= {"flops": costs.get("flops", 0.0), "bytes": costs.get("bytes accessed", 0.0)}
    facts["temporary"] = compiled.memory_analysis().temp_size_in_bytes
    return facts


class Worker:
    """The commands: each a method that takes JSON values and returns them."""

    def __init__(self, library: str):
        self.before = peak()
        self.library = importlib.import_module(f"benchmarks.libraries.{library}")
        self.imported = peak()
        self.jobs: dict[str, Any] = {}
        self.warmed = False

    def variants(self) -> dict[str, Any]:
        """What this library has, and for which workloads."""
        return {name: list(workloads) for name, workloads in self.library.VARIANTS.items()}

    def warm(self) -> None:
        """Traces a small model once, so that what a first use imports and reads is not taken for tracing."""
        if not self.warmed:
            self.warmed = True
            job = self.library.job("tiny_mlp", next(iter(self.library.VARIANTS)))
            if job.lower is not None:
                job.lower()

    def prepare(self, workload: str, variant: str, outputs: str | None = None) -> dict[str, Any]:
        """Builds a job, compiles it apart where that can be, writes the first output, and takes three steps."""
        self.warm()
        job = self.library.job(workload, variant)
        facts: dict[str, Any] = {"parameters": int(job.parameters), "note": job.note}
        if job.lower is not None:
            import jax

            jax.clear_caches()  # what another variant has traced must not help this one
            gc.collect()  # or a collection of all that was imported, 0.1 s, falls into the trace of some libraries
            start = time.process_time()
            traced = job.lower()
            facts["trace"] = time.process_time() - start
            facts |= compile_apart(traced)
            del traced
        if outputs is not None:
            np.save(outputs, np.asarray(job.array(wait_for(job, job.forward())), np.float32))
        start = time.perf_counter()
        facts["losses"] = [float(np.asarray(job.array(wait_for(job, job.step()))))]
        facts["first"] = time.perf_counter() - start  # compilation within it, where that could not be done apart
        facts["losses"] += [float(np.asarray(job.array(wait_for(job, job.step())))) for _ in range(2)]
        self.jobs[variant] = job
        return facts | {call: self.round(variant, call, 2) for call in ("step", "forward")} | {"peak": peak()}

    def depth(self, workload: str, variant: str) -> dict[str, Any]:
        """Trace, lower, compile and step of a chain."""
        facts = self.prepare(workload, variant)
        return facts | {"step": self.round(variant, "step", max(2, min(100, int(1 / facts["step"]))))}

    def round(self, variant: str, call: str, calls: int) -> float:
        """Seconds a call, of several in a row that wait for each other's results."""
        job = self.jobs[variant]
        function = getattr(job, call)
        result = None
        start = time.perf_counter()
        for _ in range(calls):
            result = function()
        wait_for(job, result)
        return (time.perf_counter() - start) / calls

    def release(self) -> None:
        """Forgets the jobs."""
        self.jobs.clear()

    def init(self, workload: str, jitted: bool | None = None) -> dict[str, float]:
        """Seconds of the first and of the second initialisation, compiled within the first if jitted.

        By default it is jitted where the library's models are functions, not objects.
        """
        jitted = hasattr(self.library, "init") if jitted is None else jitted
        make = self.library.fresh(workload, jitted) if hasattr(self.library, "fresh") else self.pure(workload, jitted)
        seconds: list[float] = []
        for seed in range(2):
            start = time.perf_counter()
            made = make(seed)
            seconds.append(time.perf_counter() - start)
            del made
        return {"first": seconds[0], "second": seconds[1]}

    def pure(self, workload: str, jitted: bool) -> Any:
        """The init of a library where it is a function from a key to arrays."""
        import jax

        function = self.library.init(workload)
        function = jax.jit(function) if jitted else function
        keys = [jax.random.key(seed) for seed in range(2)]
        return lambda seed: jax.block_until_ready(function(keys[seed]))

    def memory(self, workload: str, variant: str, steps: int) -> dict[str, int]:
        """Peak resident bytes: before and after the import, and after some training steps."""
        job = self.library.job(workload, variant)
        for _ in range(steps):
            wait_for(job, job.step())
        return {"before": self.before, "imported": self.imported, "trained": peak()}

    def chip(self) -> str:
        """The accelerator that computes, or cpu."""
        import jax

        return jax.devices()[0].device_kind


def serve(library: str, kind: type[Worker] = Worker) -> None:
    """Answers requests until the pipe closes. Whatever a library prints goes to the errors' stream."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = kind(library)
    print(json.dumps({"answer": worker.variants()}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": getattr(worker, request.pop("command"))(**request)}
        except Exception as error:  # the coordinator reports it and goes on without this one
            answer = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"}
            if os.environ.get("BENCH_TRACEBACKS"):
                import traceback

                traceback.print_exc()
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    serve(sys.argv[1])
