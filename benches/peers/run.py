#!/usr/bin/env python3
"""Compares ways to save the state of four ranks: see README.md.

run.py time BUILT OURS DIRECTORY [ROUNDS]        saves and restarts, of 64 MiB and of 64 KiB each
run.py kills BUILT OURS DIRECTORY [KILLS] [all]  kills of one rank, or of all at once

BUILT has the programs in C, OURS those of `cargo build --release --examples` in checkpoint-mpi/.
"""

import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

RANKS = 4
ENVIRONMENT = dict(
    os.environ,
    OMPI_ALLOW_RUN_AS_ROOT="1",
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
    OMPI_MCA_rmaps_base_oversubscribe="1",
    OMPI_MCA_mpi_yield_when_idle="1",
)

# Name, program, what its environment has, more arguments.
WAYS = [
    ("ours", "mpi", {}, []),
    ("ours, in the background", "mpi", {}, ["--background", "1"]),
    ("MPI-IO by hand", "mpi_io", {}, []),
    ("MPI-IO by hand, directory synced", "mpi_io", {"PEER_SYNC": "1"}, []),
    ("VELOC sync", "veloc", {}, []),
    ("VELOC sync, and fsync by the program", "veloc", {"PEER_SYNC": "1"}, []),
    ("VELOC async", "veloc", {"PEER_MODE": "async"}, []),
    ("SCR bypass", "scr", {"PEER_MODE": "bypass"}, []),
    ("SCR SINGLE, flush each", "scr", {"PEER_MODE": "single"}, []),
]
ONLY_TIMED = {"ours, in the background", "MPI-IO by hand, directory synced",
              "VELOC sync, and fsync by the program", "VELOC async"}


def ways(built, ours):
    """The ways whose programs are there."""
    for name, program, environment, more in WAYS:
        folder, kind = (ours, "{}_mpi") if program == "mpi" else (built, "{}-" + program)
        paths = {which: os.path.join(folder, kind.format(which)) for which in ("heat", "time")}
        if all(os.path.exists(path) for path in paths.values()):
            yield name, paths, dict(ENVIRONMENT, **environment), more
        else:
            print(f"SKIPPED: {name}: no {paths}")


def commands():
    """The words of the command line of each process."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as line:
                    yield int(entry), line.read().decode(errors="replace").split("\0")
            except OSError:
                continue


def end_backends(directory):
    """VELOC leaves a process that works in the background."""
    for process, words in commands():
        if os.path.basename(words[0]) == "veloc-backend" and words[1].startswith(directory + "/"):
            os.kill(process, signal.SIGTERM)
            for _ in range(500):
                if not os.path.exists(f"/proc/{process}/exe"):
                    break
                time.sleep(0.01)


def launch(program, environment, arguments, **more):
    words = ["mpirun", "-n", str(RANKS), program] + [str(argument) for argument in arguments]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, **more)


def figures(program, environment, arguments):
    """The figures of a run of a time program: a list for each name."""
    job = launch(program, environment, arguments)
    output, _ = job.communicate(timeout=600)
    end_backends(arguments[arguments.index("--dir") + 1])
    found = {}
    for name, figure in re.findall(r"^([a-z-]+) ([0-9.]+)$", output, re.M):
        found.setdefault(name, []).append(float(figure))
    if job.returncode != 0:
        print(f"  {program} ended with {job.returncode}: {output[-300:]}")
    return found


def remove(*paths):
    for path in (*paths, "/dev/shm/checkpointed-peers"):  # SCR's control files
        shutil.rmtree(path, ignore_errors=True)


def middle_half(numbers):
    if len(numbers) < 2:
        return numbers[0], numbers[0]
    quarters = statistics.quantiles(numbers, n=4, method="inclusive")
    return quarters[0], quarters[2]


def measure(built, ours, directory, rounds=7):
    all_ways = list(ways(built, ours))
    print(f"load {os.getloadavg()}")
    for size, saves in ((64 << 20, 3), (64 << 10, 15)):
        times = {name: {"save": [], "hand": [], "ratio": [], "cached": [], "restart": [], "late": []}
                 for name, _, _, _ in all_ways}
        for turn in range(rounds):
            # Another one begins in each round.
            for name, paths, environment, more in all_ways[turn % len(all_ways):] + all_ways[:turn % len(all_ways)]:
                path = os.path.join(directory, "time")
                arguments = ["--bytes", size, "--dir", path] + more
                own = times[name]
                found = figures(paths["time"], environment, arguments + ["--saves", saves])
                own["save"] += found.get("save", [])
                own["hand"] += found.get("hand", [])
                if found.get("save"):
                    own["ratio"].append(statistics.median(found["save"]) / statistics.median(found["hand"]))
                for which in ("cached", "restart"):
                    if which == "restart":
                        os.sync()
                        with open("/proc/sys/vm/drop_caches", "w") as caches:
                            caches.write("3")
                    found = figures(paths["time"], environment, arguments + ["--saves", "0"])
                    own[which] += found.get("restart", [])
                remove(path, path + "-by-hand")
        print(f"\n{size >> 10} KiB on each of {RANKS} ranks, {rounds} rounds of {saves} saves; load {os.getloadavg()}")
        print("| | save, ms | middle half | by hand, ms | save / by hand, median [middle half of the rounds] "
              "| restart, not cached, ms | as it was left, ms |")
        print("|---|---|---|---|---|---|---|")
        for name, own in times.items():
            if not own["ratio"]:
                print(f"| {name} | no figure |")
                continue
            save, hand = (statistics.median(own[which]) for which in ("save", "hand"))
            low, high = middle_half(own["save"])
            least, most = middle_half(own["ratio"])
            cold, warm = (statistics.median(own[which]) if own[which] else -1 for which in ("restart", "cached"))
            print(f"| {name} | {save:.2f} | {low:.2f} … {high:.2f} | {hand:.2f} "
                  f"| {statistics.median(own['ratio']):.2f} [{least:.2f} … {most:.2f}] "
                  f"| {cold:.1f} | {warm:.1f} |")
        sys.stdout.flush()


def processes(program, directory):
    """The ranks of a job, by number of process."""
    return sorted(process for process, words in commands() if words[0] == program and directory in words)


def kill_some(program, directory, wait, victim, killed):
    time.sleep(wait)
    found = processes(program, directory)
    if len(found) == RANKS:
        for process in found if victim is None else [found[victim]]:
            try:
                os.kill(process, signal.SIGKILL)
                killed.append(process)
            except ProcessLookupError:
                pass


def sums(program, environment, directory, steps):
    """The bits of the field at each step, of a run without kills."""
    job = launch(program, dict(environment, PEER_TRACE="1"),
                 ["--size", 64, "--every", 1 << 40, "--steps", steps, "--dir", directory])
    output, _ = job.communicate(timeout=600)
    return dict(re.findall(r"at step (\d+) sum=([0-9a-f]+)", output))


def kills(built, ours, directory, count=60, everything=False):
    chosen = [way for way in ways(built, ours) if way[0] not in ONLY_TIMED]
    hand = next(paths["heat"] for _, paths, _, _ in chosen if paths["heat"].endswith("mpi_io"))
    for name, paths, environment, _ in chosen:
        path = os.path.join(directory, "kills")
        remove(path)
        seeds = random.Random(12345)
        program, arguments = paths["heat"], ["--size", 64, "--every", 3, "--dir", path]
        acknowledged, restarts, counts = 0, [], dict(kills=0, lost=0, refused=0, mixed=0, failed=0, acknowledged=0)
        for number in range(count):
            wait, victim = seeds.uniform(0, 0.3), seeds.randrange(RANKS)
            job = launch(program, environment, arguments + ["--steps", 10**8])
            killed, killer, begun = [], None, False
            watchdog = threading.Timer(60, job.terminate)
            watchdog.start()
            for line in job.stdout:
                if "offered step" in line:
                    counts["refused"] += 1
                    counts["mixed"] += "different" in line
                if line.startswith("FAILED") and killer is None:
                    print(f"  {name}, kill {number}: {line.strip()}")
                if killer is None and (match := re.match(r"(going on from|beginning at|saved) step (\d+)(?: sum=(\w+))?", line)):
                    step = int(match[2])
                    if match[1] != "saved":
                        begun = True
                        restarts.append((step, match[3]))
                    if not begun and match[1] == "saved" and acknowledged:
                        step = 0  # it began afresh
                    if step < acknowledged:
                        counts["lost"] += 1
                        print(f"  {name}, kill {number}: restart from {step}, acknowledged was {acknowledged}")
                        acknowledged = step
                    killer = threading.Thread(
                        target=kill_some, args=(program, path, wait, None if everything else victim, killed))
                    killer.start()
                if match := re.match(r"saved step (\d+)", line):
                    acknowledged = max(acknowledged, int(match[1]))
                    counts["acknowledged"] += 1
            job.wait()
            watchdog.cancel()
            if killer:
                killer.join()
            counts["kills"] += bool(killed)
            if not killed:
                counts["failed"] += killer is None
                print(f"  {name}, kill {number}: nothing was killed; it ended with {job.returncode}")
                if killer is None:
                    # What is there cannot be gone on from: afresh.
                    remove(path)
                    acknowledged = 0
        end = acknowledged + 21
        job = launch(program, environment, arguments + ["--steps", end])
        output, _ = job.communicate(timeout=600)
        last = re.findall(r"sum=([0-9a-f]+)", output)
        remove(path)
        # The same field in all of the programs.
        undisturbed = sums(hand, ENVIRONMENT, path, end)
        remove(path)
        wrong = sum(undisturbed.get(str(step)) != bits for step, bits in restarts if bits)
        is_equal = bool(last) and last[-1] == undisturbed[str(end)]
        print(f"{name}: {counts}, {wrong} of {len(restarts)} restarts with other bits, {end} steps, "
              f"final field {'equal' if is_equal else 'NOT EQUAL'}", flush=True)


def main():
    what, built, ours, directory, *rest = sys.argv[1:]
    built, ours, directory = (os.path.abspath(path) for path in (built, ours, directory))
    os.makedirs(directory, exist_ok=True)
    numbers = [int(word) for word in rest if word.isdigit()]
    if what == "time":
        measure(built, ours, directory, *numbers)
    else:
        kills(built, ours, directory, *numbers, everything="all" in rest)


if __name__ == "__main__":
    main()
