"""Give a folder of files its final name in one step, and keep the files where they are."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from galaxies.files import link_or_copy

# Beside a survey that is kept stands its work folder, whose name begins alike.
_SUFFIX = ".publishing"


def publish_files(source: Path, names: Iterable[str], out: Path) -> None:
    """Make ``out`` a folder of the files ``names`` of the folder ``source``, instead of what is there.

    They are hard links, or copies across file systems, so this is quick; a kill leaves the old folder, the new one or none,
    and at worst a temporary one beside it, which the next call removes.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for leftover in out.parent.glob(f".{out.name}.*{_SUFFIX}"):
        shutil.rmtree(leftover)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=_SUFFIX, dir=out.parent))
    temporary.chmod(0o755)
    try:
        for name in names:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(source / name, temporary / name)
    except BaseException:
        # On a disk that is full, half a copy would be in the way of making room.
        shutil.rmtree(temporary)
        raise
    if out.exists():
        shutil.rmtree(out)
    temporary.rename(out)
