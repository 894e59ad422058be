"""The commands of SLURM that submitit calls, on this machine and without a queue: sbatch, srun, sacct, scontrol.

In the directory FAKE_SLURM lie, for each job, its state and what was asked of it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PLACE = Path(os.environ.get("FAKE_SLURM", "."))


def sbatch(file):
    text = Path(file).read_text()
    number = int(os.environ["FAKE_SLURM_FIRST"]) + len(list(PLACE.glob("batch-*")))
    (PLACE / f"batch-{number}").write_text(text)
    array = re.search(r"#SBATCH --array=0-(\d+)%", text)
    for index in range(int(array[1]) + 1) if array else [None]:
        name = str(number) if index is None else f"{number}_{index}"
        (PLACE / f"state-{name}").write_text("PENDING")
        job = {"SLURM_JOB_ID": name} if index is None else {"SLURM_ARRAY_JOB_ID": str(number)}
        job |= {} if index is None else {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_JOB_ID": f"9{number}{index}"}
        command = [sys.executable, __file__, "node", file, name]
        subprocess.Popen(command, env=os.environ | job, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sys.stdout.write(f"Submitted batch job {number}\n")


def node(file, name):
    state, again = PLACE / f"state-{name}", PLACE / f"again-{name}"
    while True:
        state.write_text("RUNNING")
        code = subprocess.run(["bash", file], check=False).returncode
        if not again.exists():
            break
        again.unlink()
    if not state.read_text().startswith("CANCELLED"):
        state.write_text("COMPLETED" if code == 0 else "FAILED")


def srun(*words):
    rest = list(words)
    while rest[0].startswith("--"):
        option = rest.pop(0)
        if option in ("--output", "--error"):
            rest.pop(0)
    raise SystemExit(subprocess.run(rest, check=False).returncode)


def sacct(*_):
    sys.stdout.write("JobID|State|NodeList\n")
    for file in PLACE.glob("state-*"):
        sys.stdout.write(f"{file.name.removeprefix('state-')}|{file.read_text()}|here\n")


def scontrol(verb, name):
    assert verb == "requeue"
    (PLACE / f"again-{name}").touch()


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    {"sbatch": sbatch, "srun": srun, "sacct": sacct, "scontrol": scontrol, "node": node}[command](*words)
