import json

import numpy as np
import pytest

from tladapt.errors import DamagedDataError, RunFolderError
from tladapt.reporting import read_run


def test_a_run_is_read_whole(make_run):
    run = read_run(make_run(steps=600, log_every=50), finished=True)
    assert run.config["method"]["name"] == "dann"
    assert [row["step"] for row in run.of_kind("eval")] == [300, 600]
    assert len(run.of_kind("train")) == 12
    assert run.summary["target/accuracy"] == 0.84
    assert run.outputs()["test_logits"].shape == (900, 10)


def test_a_last_line_cut_off_is_left_out(make_run):
    folder = make_run(steps=600)
    log = folder / "metrics.jsonl"
    whole = read_run(folder).rows
    for cut in (1, 5, 100):
        log.write_bytes(log.read_bytes()[:-cut] if cut > 1 else log.read_bytes() + b'{"kind": "train", "st')
        assert read_run(folder).rows == whole[: len(read_run(folder).rows)]
        assert len(read_run(folder).rows) >= len(whole) - 1


def test_a_garbled_line_within_is_an_error_that_names_it(make_run):
    folder = make_run(steps=600)
    lines = (folder / "metrics.jsonl").read_text().split("\n")
    lines[3] = lines[3][:20]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    with pytest.raises(DamagedDataError, match="line 4"):
        read_run(folder)
    (folder / "metrics.jsonl").write_text('{"kind": "train"}\n')
    with pytest.raises(DamagedDataError, match="with a 'step'"):
        read_run(folder)


def test_what_is_not_a_run_says_so(make_run, tmp_path):
    with pytest.raises(RunFolderError, match="there is no folder"):
        read_run(tmp_path / "nowhere")
    make_run("one", steps=300)
    with pytest.raises(RunFolderError, match=r"not a run's folder.*look like runs: one"):
        read_run(tmp_path)


def test_an_unfinished_run_is_read_and_refused_where_finished_is_asked(make_run):
    folder = make_run(finished=False, outputs=False, steps=600)
    assert read_run(folder).summary is None
    assert read_run(folder).outputs() == {}
    with pytest.raises(RunFolderError, match=r"not finished.*ends at step 600 of 600.*--resume"):
        read_run(folder, finished=True)
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(RunFolderError, match="logged nothing"):
        read_run(folder, finished=True)


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
def test_garbled_json_is_told_apart(make_run, name):
    folder = make_run(steps=300)
    (folder / name).write_text('{"half": ')
    with pytest.raises(DamagedDataError, match=name):
        read_run(folder)
    (folder / name).write_text(json.dumps([1]))
    with pytest.raises(DamagedDataError, match="must hold a JSON object, got a list"):
        read_run(folder)


def test_garbled_outputs_are_told_apart(make_run):
    folder = make_run(steps=300)
    whole = (folder / "outputs.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no arrays"):
        (folder / "outputs.npz").write_bytes(content)
        with pytest.raises(DamagedDataError, match=r"outputs\.npz"):
            read_run(folder).outputs()
    np.savez(folder / "outputs.npz", bad=np.array([object()]))
    with pytest.raises(DamagedDataError, match=r"outputs\.npz"):
        read_run(folder).outputs()
