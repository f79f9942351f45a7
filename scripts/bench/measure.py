"""Runs a command and says what it cost: wall and CPU seconds, peak memory, bytes written, peak space on disk.

Memory is the sum over all processes of the command, sampled, or the largest single one where a process was shorter than a sample.
Space counts blocks of the files in the command's directory and of nameless files that its processes hold open.
"""

import os
import resource
import shutil
import subprocess
import threading
import time
from dataclasses import asdict, dataclass

PAUSE = 0.1
PAGE = resource.getpagesize()


@dataclass
class Cost:
    wall: float
    cpu: float
    memory: int
    written: int
    peak_disk: int
    left_disk: int
    said: str

    @property
    def extra_disk(self):
        """What it took for a while beyond what it left."""
        return max(0, self.peak_disk - self.left_disk)

    def as_json(self):
        return asdict(self) | {"extra_disk": self.extra_disk}


def family(root):
    """The process `root` and all its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(name))
            except (OSError, IndexError):
                pass
    found, rest = [], [root]
    while rest:
        process = rest.pop()
        found.append(process)
        rest.extend(children.get(process, []))
    return found


def memory(processes):
    total = 0
    for process in processes:
        try:
            with open(f"/proc/{process}/statm") as statm:
                total += int(statm.read().split()[1]) * PAGE
        except OSError:
            pass
    return total


def blocks(directory):
    """Bytes that the files under `directory` take, each inode once."""
    seen = {}
    for place, _, files in os.walk(directory):
        for name in files:
            try:
                stat = os.lstat(os.path.join(place, name))
                seen[stat.st_ino] = stat.st_blocks * 512
            except OSError:
                pass
    return seen


def nameless(processes, device):
    """The same of files without a name that `processes` hold open."""
    seen = {}
    for process in processes:
        try:
            for fd in os.listdir(f"/proc/{process}/fd"):
                stat = os.stat(f"/proc/{process}/fd/{fd}")
                if stat.st_nlink == 0 and stat.st_dev == device:
                    seen[stat.st_ino] = stat.st_blocks * 512
        except OSError:
            pass
    return seen


class Watch(threading.Thread):
    """Samples until it is told to stop."""

    def __init__(self, process, directory):
        super().__init__(daemon=True)
        self.process, self.directory = process, directory
        self.device = os.stat(directory).st_dev
        self.stopped = threading.Event()
        self.memory = self.disk = 0

    def look(self):
        processes = family(self.process)
        self.memory = max(self.memory, memory(processes))
        self.disk = max(self.disk, sum((blocks(self.directory) | nameless(processes, self.device)).values()))

    def run(self):
        while not self.stopped.wait(PAUSE):
            self.look()


def measure(script, directory, environment):
    """Runs the shell script `script` in the new directory `directory`; what it leaves there is on the disk when the clock stops."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    script = f"set -euo pipefail\n{script}\nfind . -type f -exec sync {{}} +\n"
    start = time.monotonic()
    child = subprocess.Popen(
        ["bash", "-c", script], cwd=directory, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    watch = Watch(child.pid, directory)
    watch.start()
    said = child.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - start
    watch.stopped.set()
    watch.join()
    child.stdout.close()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"bench: a command failed with {child.returncode}:\n{script}\n{said}")
    left = sum(blocks(directory).values())
    return Cost(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        memory=max(watch.memory, usage.ru_maxrss * 1024),
        written=usage.ru_oublock * 512,
        peak_disk=max(watch.disk, left),
        left_disk=left,
        said=said,
    )
