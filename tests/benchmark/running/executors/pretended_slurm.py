"""A Slurm of one machine: what `sbatch`, `srun`, `sacct` and `scancel` do, as far as submitit uses them.

Called as `python pretended_slurm.py FOLDER COMMAND ARGUMENTS...`; FOLDER has a file for each job that ran.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel")


class Waiting:
    """What a job does that begins a task and then waits for a file. Its process imports nothing of this project."""

    def __init__(self, news: Path, name: str):
        self.news, self.name = news, name

    def __call__(self) -> None:
        import json
        import os
        import time

        run = self.news.parents[1]
        (run / "pid").mkdir(exist_ok=True)
        (run / "pid" / str(os.getpid())).touch()
        began = [["CellBegan", {"cell": self.name, "tasks": 1, "done": 0, "epochs": 1}]]
        began.append(["TaskBegan", {"cell": self.name, "number": 1, "task": "digits"}])
        with self.news.open("a") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in began)
        # Not for ever, so that a test that fails leaves no process behind.
        until = time.monotonic() + 120
        while not (run / "go").exists() and time.monotonic() < until:
            time.sleep(0.05)
        with self.news.open("a") as file:
            file.write(f"{json.dumps(['JobEnded', {'job': self.name, 'failure': None}])}\n")


def install(folder: Path) -> None:
    """Write the commands into a folder that is on the PATH."""
    for command in COMMANDS:
        path = folder / command
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" "{folder}" {command} "$@"\n')
        path.chmod(0o755)


def sbatch(folder: Path, script: str) -> None:
    text = Path(script).read_text()
    if "--partition=closed" in text:
        sys.exit("sbatch: error: invalid partition specified: closed")
    number = len(list(folder.glob("script-*"))) + 1
    (folder / f"script-{number}").write_text(text)
    array = re.search(r"^#SBATCH --array=0-(\d+)%", text, re.MULTILINE)
    for index in range(int(array[1]) + 1) if array else [None]:
        name = str(number) if index is None else f"{number}_{index}"
        environment = os.environ | {"SLURM_JOB_ID": str(number), "PRETENDED_ID": name}
        if index is not None:
            environment |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(index)}
        command = f"echo $$ > {folder}/{name}.pid; bash {script}; echo $? > {folder}/{name}.rc"
        nothing = subprocess.DEVNULL
        subprocess.Popen(
            ["bash", "-c", command], env=environment, start_new_session=True, stdout=nothing, stderr=nothing
        )
    print(f"Submitted batch job {number}")


def srun(folder: Path, *arguments: str) -> None:
    rest = list(arguments)
    while rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("--output", "--error"):
            name = os.environ["PRETENDED_ID"]
            path = rest.pop(0).replace("%A_%a", name).replace("%j", name).replace("%t", "0")
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1 if option == "--output" else 2)
    os.execvp(rest[0], rest)


def sacct(folder: Path, *arguments: str) -> None:
    print("JobID|State|NodeList")
    for path in folder.glob("*.pid"):
        print(f"{path.stem}|{state(folder, path.stem)}|node1")


def state(folder: Path, name: str) -> str:
    if (folder / f"{name}.cancelled").exists():
        return "CANCELLED by 0"
    path = folder / f"{name}.rc"
    if not path.exists() or not path.read_text():
        return "RUNNING"
    return "COMPLETED" if path.read_text() == "0\n" else "OUT_OF_MEMORY"


def scancel(folder: Path, name: str) -> None:
    (folder / f"{name}.cancelled").touch()
    os.killpg(int((folder / f"{name}.pid").read_text()), signal.SIGKILL)


if __name__ == "__main__":
    globals()[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:])
