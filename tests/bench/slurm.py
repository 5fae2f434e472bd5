"""A real Slurm of one node that belongs to whoever starts it: own key, configuration, ports and folders.

    python -m tests.bench.slurm sinfo
    python -m tests.bench.slurm tladapt bench NAME --methods dann --out bench --launcher submitit

runs a command inside such a cluster, and ends the cluster with it. Debian's packages slurm-wlm and munge have all of
the programs; nothing is read from or written to /etc, no service manager is asked, and no other Slurm is disturbed.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo", "squeue")
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"  # where the daemons are; users may lack it
PATIENCE = 30.0  # seconds for the node to be there

CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A job that was put back into the queue starts when its old credential has expired: after 5 s instead of 120 s.
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# Seconds from SIGTERM to SIGKILL; and any number of cores may be promised, whatever the machine has.
KillWait=10
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Return the programs of Slurm and MUNGE that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on; all are held until all are found, or one would come twice."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return [int(taken.getsockname()[1]) for taken in sockets]


def _without_control_groups(program: str) -> str:
    """Return the setting with which slurmd leaves control groups alone; 23.02 was the first that has a word for it."""
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    known = version is not None and (int(version[1]), int(version[2])) >= (23, 2)
    return f"CgroupPlugin={'disabled' if known else 'cgroup/v1'}\n"


def _configure(folder: Path) -> None:
    for name in ("munge", "state", "spool", "log"):
        (folder / name).mkdir()
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    controller_port, node_port = _free_ports(2)
    host = socket.gethostname().split(".")[0]
    values = {"host": host, "user": getpass.getuser(), "folder": folder}
    text = CONFIGURATION.format(**values, controller_port=controller_port, node_port=node_port)
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text(_without_control_groups(str(shutil.which("slurmd", path=PATH))))


def _commands(folder: Path) -> list[list[str]]:
    """Return what has to run, in the order in which it starts; each stays in the foreground, so its id is known."""
    munge = [f"--{option}-file={folder}/munge/{option}" for option in ("key", "pid", "log", "seed")]
    return [
        ["munged", "--foreground", f"--socket={folder}/munge/socket", *munge],
        ["slurmctld", "-D", "-f", f"{folder}/slurm.conf"],
        ["slurmd", "-D", "-f", f"{folder}/slurm.conf"],
    ]


def _said(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else ""


def _wait(true: Callable[[], object], what: str, folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > until:
            logs = "\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in sorted(folder.glob("log/*")))
            raise TimeoutError(f"{what} within {PATIENCE:.0f} s. The logs end with\n{logs}")
        time.sleep(0.1)


@contextlib.contextmanager
def cluster() -> Iterator[dict[str, str]]:
    """Start a cluster, and end it with all of its jobs.

    Yields:
      The environment in which `sbatch`, `squeue` and the others talk to it.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the path of a socket has at most 107 bytes
    folder.chmod(0o755)  # MUNGE wants everybody to reach its socket, whose own folder says who may
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        _configure(folder)
        for command in _commands(folder):
            with (folder / "log" / command[0]).open("wb") as log:
                daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            if command[0] == "munged":
                _wait((folder / "munge" / "socket").exists, "MUNGE made no socket", folder)
        _wait(lambda: _said(["sinfo", "-h", "-o", "%T"], environment) == "idle", "The node was not idle", folder)
        yield environment
    finally:
        try:
            if len(daemons) == 3:
                # Jobs are processes of their own, which would outlive the daemon that started them.
                _said(["scancel", f"--user={getpass.getuser()}"], environment)
                _wait(lambda: not _said(["squeue", "-h"], environment), "Jobs did not end", folder)
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait(PATIENCE)
            shutil.rmtree(folder)


def main() -> None:
    if missing():
        sys.exit(f"Slurm is not complete on this machine, it lacks {', '.join(missing())}: apt install slurm-wlm munge")
    with cluster() as environment:
        sys.exit(subprocess.run(sys.argv[1:] or ["sinfo"], env=environment).returncode)


if __name__ == "__main__":
    main()
