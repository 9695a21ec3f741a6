"""How many cores the process may use."""

import os

# A container's quota of time is not seen.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
