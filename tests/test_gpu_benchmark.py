"""The script that measures on a GPU runs to its end on a CPU, so that no minute of a GPU is lost to a typing error."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import format_tables, plan_parts, run_part
from benchmarks.gpu_parts import PARTS
from tests.pipelines import REPOSITORY


@pytest.mark.slow
def test_all_parts_run_and_the_tables_have_their_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--small", "--minutes", "30", "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert not [key for key, found in figures.items() if "error" in found]
    assert figures["tests"]["passed"], figures["tests"]
    assert figures["stage resnet50 maps"]["bfloat16"]["rate"] > 0
    lines = done.stdout.splitlines()
    for row in ("| resnet50 float32 |", "| vit_small bfloat16 |", "| read, CRC32C |", "| write layer3 maps |"):
        assert any(line.startswith(row) and "| - |" not in line for line in lines), row


def test_every_part_that_is_planned_is_there() -> None:
    assert {part[0] for part in plan_parts(is_small=False)} == PARTS.keys()


@pytest.mark.parametrize(
    ("ending", "error"), [("exec sleep 60", "took longer than 1 s"), ("echo out of memory >&2; exit 1", "out of memory")]
)
def test_a_part_that_goes_wrong_says_so_and_keeps_what_it_had_measured(
    ending: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho '{{\"rate\": 1}}'\necho '{{\"rate\": 2}}'\nprintf '{{\"ra'\n{ending}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    found = run_part(("feeding",), tmp_path, time.monotonic() + 1.0, is_small=False)
    assert 0 <= found.pop("seconds") < 30
    assert found == {"rate": 2, "error": error}


def test_a_part_whose_time_is_over_is_left_out(tmp_path: Path) -> None:
    assert run_part(("machine",), tmp_path, 0.0, is_small=True) == {"error": "the time was over before this part"}


def test_the_tables_show_what_was_measured_and_a_dash_where_nothing_was() -> None:
    rates = {"rate": 300.0, "device_peak": 2_000_000_000, "host_peak": 3_000_000_000}
    figures = {
        "machine": {"device": "GPU", "cores": 16, "torch": "2"},
        "forward resnet50": {"best": {"bfloat16": {"rate": 400.0, "how": "eager 512"}}, "error": "took longer than 60 s"},
        "stage resnet50 features": {"bfloat16": rates},
        "stage resnet50 maps": {"error": "out of memory"},
        "feeding": {"read, CRC32C": {"1": 4000.0, "2": 6000.0}},
    }
    lines = list(format_tables(figures))
    assert "| resnet50 bfloat16 | 400 | eager 512 | 300 | 0.75 | - | - | 2.0, 3.0 |" in lines
    assert "| read, CRC32C | 4,000 | 6,000 |" in lines
