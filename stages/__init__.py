"""The stages of dvc.yaml, one thin script each: read parameters and inputs, call the library, write the outs."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from galaxies.errors import InputError
from galaxies.files import explain_disk_errors
from galaxies.params import parse_section

Section = TypeVar("Section")

PARAMS_PATH = Path("params.yaml")

# Before torch is imported. By default OpenMP's threads wait for each other awake, and where others use the cores too every
# step of a small head then waits for a time slice: training the default one took 35 s, and takes 3 (measured, two busy cores).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def read_params(section: str, cls: type[Section]) -> Section:
    """Return one checked section of params.yaml. Raises InputError that names each wrong key."""
    # DVC reads YAML 1.2 by ruamel.yaml, where 1e-05 is a number; PyYAML would call it text.
    try:
        values = YAML(typ="safe").load(PARAMS_PATH.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{PARAMS_PATH} is not UTF-8 text: {error}") from error
    except FileNotFoundError:
        raise InputError(f"There is no {PARAMS_PATH} in {Path.cwd()}; run from the repository's top folder.") from None
    except YAMLError as error:
        raise InputError(f"{PARAMS_PATH} is not valid YAML: {error}") from error
    if not isinstance(values, dict) or section not in values:
        raise InputError(f"{PARAMS_PATH} has no section `{section}`.")
    return parse_section(cls, values[section], section)


def main_repository() -> Path:
    """Return the folder of the main repository, also inside DVC's temporary copies (``--temp``, ``--queue``)."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def user_path(path: str) -> Path:
    """Return a path from params.yaml; a relative one is relative to the main repository."""
    return main_repository() / Path(path).expanduser()


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage; an InputError, a full disk and Ctrl-C become a message on stderr and an exit code, without a traceback."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("galaxies").setLevel(logging.INFO)
    try:
        with explain_disk_errors("the disk"):
            main()
    except InputError as error:
        sys.exit(f"\nERROR: {error}")
    except KeyboardInterrupt:
        print("\nInterrupted. The same command continues: what is finished is kept.", file=sys.stderr)
        sys.exit(130)  # The shell's code for SIGINT.
