"""What Slurm is told and what its answers mean, with programs that stand in for Slurm's own."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

import pytest

from tladapt.bench import slurm, slurm_queue
from tladapt.bench.slurm_queue import Array
from tladapt.errors import MissingPackageError, RunFolderError, UsageError

ARRAY = Array(job="41", cells=(("a",), ("b",), ("c",)), folder="")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH; `write` puts a program into it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write(folder: Path, name: str, lines: str, language: str = "/bin/sh") -> None:
    (folder / name).write_text(f"#!{language}\n{lines}\n")
    (folder / name).chmod(0o755)


def test_options_go_to_sbatch() -> None:
    told = slurm.parameters(["partition=gpu", "time=2:00:00", "--cpus-per-task=4", "exclusive", "setup=module load x"])
    assert told["time"] == 120
    assert told["setup"] == ["module load x"]
    assert told["srun_args"] == ["--cpus-per-task=4"]
    more = {"requeue": True, "partition": "gpu", "cpus_per_task": "4", "exclusive": True}
    assert told["additional_parameters"] == more


def test_a_time_limit_is_set_where_nobody_sets_one() -> None:
    assert slurm.parameters([])["time"] == slurm.MINUTES


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("time=soon", "no time limit"),
        ("time=0", "no time at all"),
        ("array=0-3", "set by the launcher"),
        ("ntasks-per-node=2", "set by the launcher"),
        ("partition=", "takes KEY=VALUE"),
        ("=gpu", "takes KEY=VALUE"),
        ("signal_delay_s=long", "a whole number above 0"),
    ],
)
def test_options_that_cannot_be(option: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        slurm.parameters([option])


def test_an_array_is_submitted_and_noted(programs: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    for name in ("srun", "squeue"):
        write(programs, name, "exit 1")
    write(programs, "sbatch", "echo Submitted batch job 41")
    array = slurm.submit(
        ["bench", "toy"], tmp_path / "out", parts=[["a"], ["b", "c"], [], [], ["d"]], options=["partition=gpu"]
    )
    assert (array.job, array.name, array.id(2)) == ("41", "41_[0-2]", "41_2")
    assert slurm_queue.recorded(tmp_path / "out") == array
    script = Path(array.folder, "41_submission.sh").read_text()
    assert "#SBATCH --array=0-2%3" in script and "#SBATCH --partition=gpu" in script and "--requeue" in script
    assert array.cells == (("a",), ("b", "c"), ("d",))
    shard = pickle.loads(Path(array.folder, "41_2_submitted.pkl").read_bytes()).function
    assert shard.command == ("bench", "toy", "--shard", "4/5")
    assert shard.checkpoint().function is shard


def test_one_job_is_no_array(programs: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    for name in ("srun", "squeue"):
        write(programs, name, "exit 1")
    write(programs, "sbatch", "echo Submitted batch job 41")
    array = slurm.submit(["bench"], tmp_path, parts=[["a"], []])
    assert (array.name, array.id(0), array.log(0).name) == ("41", "41", "41_0_log.out")
    write(programs, "squeue", "echo 'N/A|RUNNING'")
    assert slurm_queue.states(array) == {0: "RUNNING"}


def test_jobs_know_nothing_of_the_job_that_sends_them(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    for name in ("srun", "squeue"):
        write(programs, name, "exit 1")
    write(programs, "sbatch", f'echo "$SLURM_CONF,$SLURM_JOB_ID,$SLURM_MEM_PER_CPU" > {tmp_path}/said; echo job 41')
    for name, value in {"SLURM_CONF": "/x", "SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "100"}.items():
        monkeypatch.setenv(name, value)
    slurm.submit(["bench"], tmp_path / "out", parts=[["a"]])
    assert (tmp_path / "said").read_text() == "/x,,\n"
    assert os.environ["SLURM_MEM_PER_CPU"] == "100"


def test_slurm_says_no(programs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("submitit")
    for name in ("srun", "squeue"):
        write(programs, name, "exit 1")
    write(programs, "sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    with pytest.raises(UsageError, match=r"did not take the jobs: sbatch: error: invalid partition specified: gpu\."):
        slurm.submit(["bench"], tmp_path, parts=[["a"], ["b"]])
    assert slurm_queue.recorded(tmp_path) is None
    assert capfd.readouterr().err == ""


def test_no_slurm_here(programs: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    write(programs, "srun", "exit 1")
    with pytest.raises(UsageError, match="sbatch and squeue cannot be found on PATH"):
        slurm.submit(["bench"], tmp_path, parts=[["a"], ["b"]])


def test_no_submitit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MissingPackageError, match=r"tladapt\[slurm\].*--shard \$SLURM_ARRAY_TASK_ID/2"):
        slurm.submit(["bench"], tmp_path, parts=[["a"], ["b"]])


def test_a_shard_is_a_call_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = f"""import pathlib, sys
status = pathlib.Path("/proc/self/status").read_text().splitlines()
blocked, = (line.split()[1] for line in status if line.startswith("SigBlk"))
pathlib.Path({str(tmp_path / "said")!r}).write_text(" ".join(sys.argv[1:]) + "\\n" + blocked)"""
    write(tmp_path, "python", says, language=sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    slurm.Shard(["bench", "toy"], 1, 3)()
    said, blocked = (tmp_path / "said").read_text().splitlines()
    assert said == "-m tladapt bench toy --shard 1/3"
    # Slurm's warning goes to all processes of the job; only the one that submitit watches over may hear it.
    assert int(blocked, 16) & 1 << (signal.SIGUSR2 - 1)
    assert signal.SIGUSR2 not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_shard_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "python", "exit 2")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SystemExit) as ended:
        slurm.Shard(["bench"], 0, 2)()
    assert ended.value.code == 2


def test_waiting_until_all_have_ended(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is looked at until no job is in it; Slurm forgets those that ended, and may not answer at times."""
    answers = ["0|RUNNING\n1|PENDING\n2|FAILED", "?", "0|COMPLETED\n1|RUNNING", "0|COMPLETED\n1|PREEMPTED"]
    for number, answer in enumerate(answers):
        (tmp_path / str(number)).write_text(answer)
    says = f"""read n < {tmp_path}/count
echo $((n + 1)) > {tmp_path}/count
while read -r line || [ -n "$line" ]; do
  [ "$line" != "?" ] || exit 1
  echo "$line"
done < {tmp_path}/$n"""
    write(programs, "squeue", says)
    (tmp_path / "count").write_text("0\n")
    monkeypatch.setattr(slurm_queue, "FIRST_LOOK", 0.0)
    seen: list[dict[int, str]] = []
    known = slurm_queue.wait(ARRAY, lambda found: seen.append(dict(found)))
    assert [len(slurm_queue.unfinished(found)) for found in seen] == [2, 1, 0]
    assert known == {0: "COMPLETED", 1: "PREEMPTED", 2: "FAILED"}


def test_a_queue_that_knows_the_jobs_no_more(programs: Path) -> None:
    write(programs, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm_queue.states(ARRAY) == {}
    write(programs, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UsageError, match="Unable to contact slurm controller"):
        slurm_queue.states(ARRAY)


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    array = Array(job="41", cells=(("a",), ("b",)), folder=str(tmp_path))
    array.log(1).write_text("\n".join(f"line {n}" for n in range(40)))
    words = slurm_queue.last_words(array, 1, "OUT_OF_MEMORY")
    assert words.startswith("job 41_1 ended as OUT_OF_MEMORY; ") and words.endswith("line 38\nline 39")
    assert "line 24" not in words
    words = slurm_queue.last_words(array, 0)
    assert words.startswith("job 41_0 ended; ") and words.endswith("(there is no log)")


def test_a_note_that_is_not_the_launchers(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    (tmp_path / slurm_queue.RECORD).write_text('{"job": "4"}')
    with pytest.raises(RunFolderError, match="Delete it"):
        slurm_queue.recorded(tmp_path)
