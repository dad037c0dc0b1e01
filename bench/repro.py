"""Run the README's two commands on a clean clone, in a folder with a space, and then once more; without a network.

python bench/repro.py

It clones the last commit, takes the environment of this checkout, and fails above the bounds. They are for two idle
cores; so that others at work on the machine do not count, time is bounded as CPU time: `BOUND_S` of two cores.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

CORES, BOUND_S, AGAIN_S, BOUND_GB = 2, 180, 3, 3
SAMPLED_S = 0.5  # time between two looks at the memory
OFFLINE = ["unshare", "--net", "--map-root-user"]  # a network of its own, with nothing in it


def measure(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run `command`; return seconds, CPU seconds, and the most memory that it and its children held, in GB."""
    began, before, peak = time.monotonic(), _cpu_s(), 0
    process = subprocess.Popen(command, cwd=folder)
    while process.poll() is None:
        peak = max(peak, _held(psutil.Process(process.pid)))
        time.sleep(SAMPLED_S)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return time.monotonic() - began, _cpu_s() - before, peak / 1e9


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _held(process: psutil.Process) -> int:
    """Return the resident memory of a process and its children, pages they share counted once."""
    held = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            held += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended meanwhile
            continue
    return held


def main() -> None:
    """Print the figures."""
    root = Path(__file__).parents[1]
    alone = OFFLINE if subprocess.run([*OFFLINE, "true"], capture_output=True, check=False).returncode == 0 else []
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name, "a space")
        subprocess.run(["git", "clone", "--quiet", root, clone], check=True)
        (clone / ".venv").symlink_to(root / ".venv")
        took_s, cpu_s, held_gb = measure([*alone, "make", "--old-file=.venv/ready", "repro"], clone)
        again_s, again_cpu_s, _ = measure([*alone, ".venv/bin/dvc", "repro"], clone)
    where = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {'no' if alone else 'with a'} network"
    print(f"make repro: {took_s:.0f} s, {cpu_s:.0f} s of CPU time, {held_gb:.1f} GB at most; {where}")
    print(f"dvc repro, nothing to do: {again_s:.1f} s, {again_cpu_s:.1f} s of CPU time")
    if cpu_s > CORES * BOUND_S or again_cpu_s > AGAIN_S or held_gb > BOUND_GB:
        sys.exit(f"too much: {BOUND_S} s of {CORES} cores, {BOUND_GB} GB, then {AGAIN_S} s are promised")


if __name__ == "__main__":
    main()
