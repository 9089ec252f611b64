"""A private Slurm of two emulated nodes with two fake GPUs each, started by hand as root and torn down by pid.

No systemd, cgroups or accounting; loopback only, on free ports; everything it makes lies in one folder. Debian builds
Slurm with several slurmd to a host, and takes links to /dev/null for GPUs.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

NODES = ("n1", "n2")
GPUS = 2
PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
DAEMONS = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
SECONDS = 30.0

# cred_expire: else a requeued job waits two minutes until its credential is void. GraceTime: between a preempted
# job's SIGTERM and its end. The nodes have more CPUs than this host, so that GPUs alone decide how many jobs run.
CONF = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=6
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
ReturnToService=2
JobRequeue=1
MinJobAge=86400
KillWait=5
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=10
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
CommunicationParameters=NoAddrCache,NoInAddrAny,NoCtldInAddrAny
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
{nodes}
PartitionName=bench Nodes=ALL Default=YES State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=urgent Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
"""


ROOT = Path(__file__).parents[2]
GUARD = """
import sys
sys.stdin.read()
from pathlib import Path
from tests.slurm.cluster import Cluster
Cluster(Path(sys.argv[1])).down()
"""
"""Waits until whoever started it is gone, however that came, and then takes the cluster down."""


class Cluster:
    """One Slurm; `partition` is where jobs go, `urgent` preempts them."""

    partition = "bench"
    urgent = "urgent"
    nodes = NODES
    gpus = GPUS * len(NODES)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: Mapping[str, str] = {"SLURM_CONF": str(folder / "slurm.conf")}
        """What a process needs in order to reach it."""
        self._guard: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """The nodes are idle when this returns."""
        self._guard = subprocess.Popen(
            [sys.executable, "-c", GUARD, str(self.folder)], stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True
        )
        # munged refuses folders that others may write to; --force: and those that others may not enter.
        umask = os.umask(0o022)
        try:
            self._write_settings()
            self._daemon(
                "munged", "--force", f"--key-file={self.folder}/munge.key", f"--socket={self.folder}/munge.sock",
                f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log",
                f"--seed-file={self.folder}/munge.seed", "--num-threads=2",
            )  # fmt: skip
            self.start_controller()
            for node in NODES:
                self.start_node(node)
        finally:
            os.umask(umask)
        self.until(lambda: self.idle() == len(NODES), "the nodes are idle")

    def down(self) -> None:
        """No job, daemon or file of it is left."""
        logs = [self.folder / f"{name}.log" for name in (*(f"slurmd.{node}" for node in NODES), "slurmctld", "munged")]
        while pids := processes_of(logs):  # twice: what was killed had no time to start more
            kill(pids)
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout.strip()

    def idle(self) -> int:
        """How many nodes have nothing to do."""
        said = self.ask("sinfo", "--noheader", "--Node", f"--partition={self.partition}", "--format=%N %t")
        return sum(line.endswith(" idle") for line in said.splitlines())

    def state(self, job: str) -> str:
        """The state of a job by its id, as Slurm writes it."""
        return self.ask("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%T")

    def kill_node(self, node: str) -> None:
        """The node's daemon and its jobs die at once, without a word; `start_node` brings it back."""
        kill(processes_of([self.folder / f"slurmd.{node}.log"]))

    def start_node(self, node: str) -> None:
        """The node's daemon runs."""
        (self.folder / "spool" / node).mkdir(parents=True, exist_ok=True)
        self._daemon("slurmd", "-f", self.environment["SLURM_CONF"], "-N", node)

    def kill_controller(self) -> None:
        """Slurm answers nobody until `start_controller`; jobs go on."""
        kill(processes_of([self.folder / "slurmctld.log"]))

    def start_controller(self) -> None:
        """Slurm's head runs, and knows what it had saved."""
        self._daemon("slurmctld", "-f", self.environment["SLURM_CONF"])

    def until(self, holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Waits until it holds; TimeoutError with the ends of the daemons' logs where it does not come to."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.log"))
                raise TimeoutError(f"waited for {seconds:g} s until {what}\n{self.ask('squeue')}\n{logs}")
            time.sleep(0.1)

    def _write_settings(self) -> None:
        for name in ("state", "spool", "dev"):
            (self.folder / name).mkdir(mode=0o700)
        (self.folder / "munge.key").touch(mode=0o600)
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        for index in range(GPUS):
            (self.folder / "dev" / f"gpu{index}").symlink_to("/dev/null")
        gres = f"AutoDetect=off\nName=gpu File={self.folder}/dev/gpu[0-{GPUS - 1}]\n"
        (self.folder / "gres.conf").write_text(gres)
        host, ports = socket.gethostname().split(".")[0], free_ports(1 + len(NODES))
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 Gres=gpu:{GPUS}"
            for node, port in zip(NODES, ports[1:], strict=True)
        )
        conf = CONF.format(host=host, ports=ports, folder=self.folder, nodes=nodes)
        (self.folder / "slurm.conf").write_text(conf)

    def _daemon(self, *command: str) -> None:
        environment = {**os.environ, **self.environment, "PATH": DAEMONS}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")


def processes_of(logs: Iterable[Path]) -> list[int]:
    """The pids of daemons and steps, which hold their node's log open, and of all that these started."""
    wanted = {str(log) for log in logs}
    found, parents = [], {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if any(os.readlink(opened) in wanted for opened in (folder / "fd").iterdir()):
                found.append(int(folder.name))
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def kill(pids: Iterable[int]) -> None:
    """They are told nothing, and are gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def missing() -> str | None:
    """Why no cluster can be brought up here."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=DAEMONS) is None]
    if absent:
        return f"no {absent[0]} here: apt-get install slurm-wlm munge"
    return "only root can bring up Slurm" if os.geteuid() else None


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of this test's own, which this process and its children reach; skipped where there can be none.

    It is up within a second, so that no test finds what another left: a node that is lost, a queue that is held.
    """
    if reason := missing():
        pytest.skip(reason)
    its = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        its.up()
        for name, value in its.environment.items():
            monkeypatch.setenv(name, value)
        yield its
    finally:
        its.down()
