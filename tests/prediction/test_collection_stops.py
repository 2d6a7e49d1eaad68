"""A collection whose command is killed or interrupted is finished by the same command."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import OutputExistsError
from artaffect.prediction.collection.plan import Plan
from artaffect.prediction.collection.run import predict_collection
from tests.prediction.test_collection import CULTURES, command, rows_of
from tests.waiting import is_gone, wait_until


def children_of(pid: int) -> list[int]:
    return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def ignores_interrupts(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (mask,) = (line.split()[1] for line in lines if line.startswith("SigIgn:"))
    return bool(int(mask, 16) >> (signal.SIGINT - 1) & 1)


@pytest.mark.slow
def test_after_a_kill_the_work_continues_and_every_row_occurs_once(
    tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    table, out = tmp_path / "annotations.parquet", tmp_path / "out.parquet"
    sample_table.save(table)
    plan = Plan.for_output(out)
    process = subprocess.Popen(command(tiny_run, table, out), stderr=subprocess.DEVNULL)
    wait_until(lambda: any(plan.folder.glob("part-*")) or process.poll() is not None)
    children = children_of(process.pid)
    process.kill()
    assert process.wait() == -signal.SIGKILL and children and not out.exists()
    wait_until(lambda: all(map(is_gone, children)))  # workers exit with their parent
    before = {part: part.stat().st_mtime_ns for part in plan.folder.glob("part-*")}
    assert 0 < len(before) < len(plan.shards()), "killed in the middle"
    with pytest.raises(OutputExistsError, match=r"work of another run \(with other cultures"):
        predict_collection(tiny_run, table, out, ["english"])
    with pytest.raises(OutputExistsError, match=r"work of another run \(with other sets"):
        predict_collection(tiny_run, table, out, sets=0.9)
    done = subprocess.run(command(tiny_run, table, out), capture_output=True, text=True, check=True)
    assert "are done already" in done.stderr
    rows = rows_of(out)
    assert len(rows) == len(sample_table) * len(CULTURES)
    assert {name for name, _ in rows} == set(sample_table.strings("annotation_id"))


def test_an_interrupted_collection_says_in_one_line_how_to_go_on(
    tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    table, out = tmp_path / "annotations.parquet", tmp_path / "out.parquet"
    sample_table.save(table)
    process = subprocess.Popen(
        command(tiny_run, table, out, "--workers", "1"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    plan = Plan.for_output(out)
    wait_until((plan.folder / "items.parquet").exists)
    # its worker and what looks after shared memory; they are started while it ignores interrupts
    wait_until(lambda: len(children_of(process.pid)) == 2)
    wait_until(lambda: not ignores_interrupts(process.pid))
    time.sleep(1)  # its worker loads the model
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers as well
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    line = "interrupted: finished work is kept; run the same command again to resume"
    assert err.strip().splitlines()[-1] == line and "Traceback" not in err
