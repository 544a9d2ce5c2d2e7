"""One run on a machine with a GPU: its tests, and how near each station of extraction, and training, come to the device.

    python -m benchmarks.gpu --out gpu.json                # at most 8 minutes
    python -m benchmarks.gpu --out gpu.json --small        # the same in a minute or two, on a CPU too

Each part has a process and a time limit of its own; the JSON is written anew after each, so that what was measured outlives
what goes wrong. Markdown tables end the run. Parts: the tests marked `gpu`; 17,736 galaxies of noise (256 px) in a file; for
ResNet-50, ConvNeXt-nano and ViT-S at 224 px the bare forward pass (precisions and batch sizes; compiled in the two quickest of
these), and the whole stage with features and with maps, in images/s, as a share of the best bare pass of the precision, with
the peak memory of device and host; readers and writers alone; training of heads. With ``--small`` smaller networks stand for
these, and nothing is compiled to the end. Wants the packages of requirements-dev.txt but dvc, onnx, onnxscript and onnxruntime.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.gpu_parts import NETWORKS, PARTS
from benchmarks.measuring import make_parser
from galaxies.files import replacing

_NUM_GALAXIES, _NUM_SMALL = 17_736, 48
_LIMITS = {"tests": 60, "galaxies": 60, "forward": 60, "stage": 45, "feeding": 45, "training": 45}
"""Seconds that a part may take; a few more than it is expected to."""


def main() -> None:
    """Run all parts, or, with ``--part``, one, whose figures so far are printed as a line of JSON again and again."""
    parser = make_parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the figures (gpu.json)")
    parser.add_argument("--small", action="store_true", help="few and small images, to see that all of it runs")
    parser.add_argument("--minutes", type=float, default=8.0, help="end after this time (8)")
    parser.add_argument("--part", nargs="+", help="used by the benchmark itself")
    parser.add_argument("--folder", type=Path, help="used by the benchmark itself")
    options = parser.parse_args()
    if options.part:
        name, *arguments = options.part
        for found in PARTS[name](options.folder, *arguments, is_small=options.small):
            print(json.dumps(found), flush=True)
        return
    figures: dict[str, Any] = {}
    deadline = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="gpu.") as folder:
        for part in plan_parts(options.small):
            key = " ".join(part)
            figures[key] = run_part(part, Path(folder), deadline, is_small=options.small)
            print(f"{key}: {figures[key]}", flush=True)
            with replacing(options.out) as temporary:
                temporary.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print("\n".join(format_tables(figures)))
    sys.exit(int(any("error" in found for found in figures.values())))


def plan_parts(is_small: bool) -> Iterator[tuple[str, ...]]:
    """Yield the parts with their arguments, in order: what is least wanted comes last, when the time may be over."""
    yield ("machine",)
    yield ("tests",)
    yield "galaxies", str(_NUM_SMALL if is_small else _NUM_GALAXIES)
    for network in NETWORKS:
        yield "forward", network
        yield "stage", network, "features"
        yield "stage", network, "maps"
    yield ("feeding",)
    yield ("training",)


def run_part(part: Sequence[str], folder: Path, deadline: float, *, is_small: bool) -> dict[str, Any]:
    """Run a part in a process of its own; return its figures, with the seconds it took, or what went wrong as ``error``.

    What it had measured before it went wrong, or its time was over, is kept.
    """
    command = [sys.executable, "-m", "benchmarks.gpu", "--folder", str(folder), *(["--small"] if is_small else [])]
    begin = time.monotonic()
    if begin > deadline:
        return {"error": "the time was over before this part"}
    limit = min(_LIMITS.get(part[0], 30) * (5 if is_small else 1), deadline - begin)  # The small run may meet a busy machine.
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
        try:
            done = subprocess.run(
                [*command, "--part", *part],
                env={**os.environ, "TQDM_DISABLE": "1"},
                stdout=printed,
                stderr=said,
                timeout=limit,
                check=False,
            )
            error = "".join(_lines(said)[-12:]).strip() if done.returncode else None
        except subprocess.TimeoutExpired:
            error = f"took longer than {limit:.0f} s"
        figures: dict[str, Any] = json.loads((_lines(printed) or ["{}"])[-1])
    return {**figures, "seconds": round(time.monotonic() - begin, 1), **({"error": error} if error else {})}


def _lines(file: IO[str]) -> list[str]:
    """Return the whole lines of what another process wrote."""
    file.seek(0)
    return [line for line in file.read().splitlines(keepends=True) if line.endswith("\n")]


def format_tables(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the Markdown tables."""
    machine = figures.get("machine", {})
    yield f"\n{machine.get('device', '?')}, {machine.get('cores', '?')} cores, torch {machine.get('torch', '?')}\n"
    yield "| network, precision | best bare forward, images/s | how | features | share | maps | share | peak device, host GB |"
    yield "|---|---|---|---|---|---|---|---|"
    for network in NETWORKS:
        for precision, best in figures.get(f"forward {network}", {}).get("best", {}).items():
            row, peaks = [f"{network} {precision}", f"{best['rate']:,.0f}", best["how"]], []
            for kind in ("features", "maps"):
                stage = figures.get(f"stage {network} {kind}", {}).get(precision)
                row += [f"{stage['rate']:,.0f}", f"{stage['rate'] / best['rate']:.2f}"] if stage else ["-", "-"]
                peaks += [f"{stage['device_peak'] / 1e9:.1f}, {stage['host_peak'] / 1e9:.1f}"] if stage else []
            yield f"| {' | '.join([*row, ' / '.join(peaks) or '-'])} |"
    yield from _format_threads(figures.get("feeding", {}))
    for name in ("training", "tests"):
        yield f"\n{name}: {figures.get(name, {})}"


def _format_threads(feeding: dict[str, Any]) -> Iterator[str]:
    rates = {kind: found for kind, found in feeding.items() if isinstance(found, dict)}
    if rates:
        threads = list(next(iter(rates.values())))
        yield f"\n| alone, a second | {' | '.join(f'{number} threads' for number in threads)} |"
        yield "|---" * (len(threads) + 1) + "|"
        for kind, found in rates.items():
            yield f"| {kind} | {' | '.join(f'{rate:,.0f}' for rate in found.values())} |"


if __name__ == "__main__":
    main()
