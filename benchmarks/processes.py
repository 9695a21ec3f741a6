"""The processes that the coordinator talks to: one a library, alike in threads, cores, and memory allocation."""

import functools
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.workloads import LARGE

ROOT = Path(__file__).resolve().parent.parent
# glibc gives large buffers back to the system after each call and faults them in again at the next, which costs some
# programs eight times their own work: one resident arena, for every library alike.
ALLOCATION = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore", "KERAS_BACKEND": "jax"}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MEASURED = ("jax", "jaxlib", "flax", "equinox", "dm-haiku", "keras", "optax", "torch", "numpy")


class Failure(Exception):
    """A library could not do what it was asked; the text says why."""


def cores_of(threads: int) -> list[int]:
    """The last cores of those that this process may use: the first is where others tend to run."""
    return sorted(os.sched_getaffinity(0))[-threads:]


@functools.cache
def timings() -> str:
    """The folder where XLA keeps how long a GPU's kernels took; with one for all, equal products get equal kernels."""
    return tempfile.mkdtemp()


def environment(threads: int) -> dict[str, str]:
    """What every process is started with: none of the user's compilation cache, the same allocator and threads.

    And bytecode that is kept: what pip installed has it, so jseq alone would be compiled at each import without it.
    """
    left_out = ("JAX_COMPILATION_CACHE", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    counts = dict.fromkeys(THREADS, str(threads))
    folders = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    paths = {"PYTHONPATH": folders, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    # torch.compile keeps what it compiled; a fresh folder makes every run pay as the others do.
    paths["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp()
    if LARGE:  # a GPU's programs compile for minutes: what was compiled to be timed is run
        paths["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp()
        paths["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"  # or its folder of timings is the process's own
        flags = os.environ.get("XLA_FLAGS", "")
        paths["XLA_FLAGS"] = f"{flags} --xla_gpu_per_fusion_autotune_cache_dir={timings()}".strip()
    return {**kept, **counts, **ALLOCATION, **QUIET, **paths}


class Process:
    """A worker with one library imported."""

    def __init__(self, library: str, threads: int, worker: str = "benchmarks.worker"):
        cores = cores_of(threads)
        self.library = library
        self.process = subprocess.Popen(
            [sys.executable, "-m", worker, library],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors(), env=environment(threads), cwd=ROOT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores), text=True,
        )  # fmt: skip
        self.variants: dict[str, list[str]] = self.answer(120)

    @staticmethod
    def errors() -> Any:
        """Where the workers' own output goes: nowhere, unless BENCH_TRACEBACKS is set."""
        return None if os.environ.get("BENCH_TRACEBACKS") else subprocess.DEVNULL

    def ask(self, command: str, seconds: float = 900, **arguments: Any) -> Any:
        """Sends a command and waits for its answer; kills the process if it takes longer than `seconds`."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failure("the process has ended") from None
        return self.answer(seconds)

    def answer(self, seconds: float) -> Any:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.process.kill()
            raise Failure(f"no answer within {seconds:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failure("the process has ended (is the library installed? BENCH_TRACEBACKS=1 shows its errors)")
        reply = json.loads(line)
        if "error" in reply:
            raise Failure(reply["error"])
        return reply["answer"]

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()

    def names(self, workload: str) -> list[str]:
        """The variants that have this workload."""
        kind = workload.partition(":")[0]
        return [v for v, has in self.variants.items() if kind in has or ("*" in has and f"-{kind}" not in has)]
