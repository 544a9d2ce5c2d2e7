"""Cutouts by position: a catalogue of id, ra, dec and label, and a service that draws any piece of the sky.

The files stay in a work folder of their own, so that a longer catalogue asks for what is new alone:

    .dvc/tmp/cutouts/<key>/        the key stands for the address without the position
        3f/187.705930+12.391122    a file as it came, checked; the folder is the beginning of a hash of the name
        3f/10.684708-41.268750.absent    why there is none

Legend: M galaxies.
"""

import functools
import hashlib
import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from galaxies.data.image_files import DAMAGE_ERRORS, say_damage
from galaxies.errors import InputError
from galaxies.files import write_text
from galaxies.sources.catalogues import CatalogueLine, open_position_catalogue, read_lines
from galaxies.sources.decoding import silent_readers
from galaxies.sources.fetching import AbsentError, Courtesy, Wanted, WrongContentError, fetch_all
from galaxies.sources.image_reader import ImageReader, ReadOptions
from galaxies.work_folder import work_path

LEGACY_SURVEY_URL = (
    "https://www.legacysurvey.org/viewer/cutout.jpg?ra={ra}&dec={dec}&layer={layer}&pixscale={pixscale}&size={size}"
)
"""The cutout service of the Legacy Surveys' viewer, in their colours of g, r and z; cutout.fits and &bands=grz give fluxes."""

CUTOUT_SIZE = 256  # px
PXSCALE = 0.262  # arcsec/px, of the Legacy Surveys' images

_PLACEHOLDERS = ("ra", "dec", "pixscale", "size", "layer", "fov")
_ABSENT_SUFFIX = ".absent"


@dataclass(frozen=True)
class CutoutService:
    """Where cutouts come from, and what they show."""

    url: str  # with {ra} and {dec} (deg), and where it takes them {pixscale}, {size}, {fov} (deg) and {layer}
    layer: str
    image_size: int  # px
    pxscale: float  # arcsec/px

    def fill(self, ra: str, dec: str) -> str:
        """Return the address for a position."""
        fov = f"{self.image_size * self.pxscale / 3600:.8g}"
        pixscale = f"{self.pxscale:.8g}"
        return self.url.format(ra=ra, dec=dec, pixscale=pixscale, size=self.image_size, layer=self.layer, fov=fov)

    def work_path(self, root: Path) -> Path:
        """Return the folder of the files, in the repository at ``root``."""
        return work_path(root, "cutouts", {"url": self.fill("{ra}", "{dec}")})


def find_template_complaint(url: str) -> str | None:
    """Return what is wrong with the template of an address, None where nothing is."""
    try:
        names = [name for _, name, spec, conversion in string.Formatter().parse(url) if name is not None and not spec]
        names += [f"{name}:{spec}" for _, name, spec, _ in string.Formatter().parse(url) if spec]
    except ValueError as error:
        return f"{error}"
    unknown = [name for name in names if name not in _PLACEHOLDERS]
    if unknown or not {"ra", "dec"} <= set(names):
        found = ", ".join(f"{{{name}}}" for name in names) or "none"
        return f"found the places {found}; {{ra}} and {{dec}} are needed, and allowed are " + ", ".join(
            f"{{{name}}}" for name in _PLACEHOLDERS
        )
    if not url.startswith(("http://", "https://")):
        return "the address begins neither with https:// nor with http://"
    return None


def list_cutouts(path: Path, service: CutoutService) -> list[CatalogueLine]:
    """Return what a catalogue of positions says, each line with the path of its cutout in the work folder.

    A line without a position says why. Raises InputError when this is no such catalogue.
    """
    try:
        table = open_position_catalogue(path)
    except FileNotFoundError:
        raise InputError(f"download.path: there is no file {path}.") from None
    return [_locate(line, service) for line in read_lines(table)]


def fetch_cutouts(
    lines: Sequence[CatalogueLine], service: CutoutService, folder: Path, courtesy: Courtesy, reading: ReadOptions
) -> list[CatalogueLine]:
    """Bring the cutouts that are not in ``folder`` yet; nobody else may be at work there.

    Returns the lines, with an error where there is no cutout.

    Raises InputError when the server cannot be used; what has come stays.
    """
    for leftover in folder.glob("*/*.tmp"):
        leftover.unlink(missing_ok=True)
    reasons: dict[str, str] = {}
    # Two galaxies at the same position share a file.
    missing = [
        path for path in dict.fromkeys(_path_of(line) for line in lines) if path and not _is_settled(folder, path, reasons)
    ]
    wanted = (Wanted(path, service.fill(*_position_of(path)), folder / path) for path in missing)
    with silent_readers(), ImageReader(None, reading) as reader:
        fetched = fetch_all(wanted, functools.partial(_check, reader, service), courtesy)
        for one in tqdm(fetched, "cutouts", len(missing), unit="galaxy", smoothing=0.05):
            if one.reason is not None:
                reasons[one.wanted.name] = one.reason
                if one.is_absent:
                    write_text(folder / f"{one.wanted.name}{_ABSENT_SUFFIX}", one.reason)
    return [_explain(line, reasons) for line in lines]


def describe_cutouts(folder: Path) -> str:
    """Say what stands in a folder of cutouts."""
    names = [path.name for path in folder.glob("*/*") if path.suffix != ".tmp"]
    num_absent = sum(name.endswith(_ABSENT_SUFFIX) for name in names)
    return f"{len(names) - num_absent:,} cutouts, {num_absent:,} positions without"


def _locate(line: CatalogueLine, service: CutoutService) -> CatalogueLine:
    if line.errors:
        return line
    if not math.isfinite(line.ra + line.dec):
        return replace(line, errors=line.position_errors or ("no position (ra and dec)",), position_errors=())
    name = f"{line.ra % 360:.6f}{line.dec:+.6f}"
    # Folders of hundreds of thousands of files are slow.
    return replace(line, paths=(f"{hashlib.sha256(name.encode()).hexdigest()[:2]}/{name}",), pxscale=service.pxscale)


def _path_of(line: CatalogueLine) -> str:
    return "" if line.errors else line.paths[0]


def _position_of(path: str) -> tuple[str, str]:
    """Return ra and dec as they stand in an address, where a + would mean a blank."""
    name = path.split("/")[1]
    sign = max(name.rfind("+"), name.rfind("-"))
    return name[:sign], name[sign:].removeprefix("+")


def _is_settled(folder: Path, path: str, reasons: dict[str, str]) -> bool:
    """Tell whether a cutout has come, or is known not to exist; then put down why."""
    if (folder / path).exists():
        return True
    try:
        reasons[path] = (folder / f"{path}{_ABSENT_SUFFIX}").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return True


def _explain(line: CatalogueLine, reasons: Mapping[str, str]) -> CatalogueLine:
    reason = reasons.get(_path_of(line))
    return line if reason is None else replace(line, paths=(), errors=(f"no cutout: {reason}",))


def _check(reader: ImageReader, service: CutoutService, path: Path) -> None:
    """Look at what has come. Raises WrongContentError, or AbsentError where the survey has not been."""
    try:
        size, _ = reader.measure([path])
        pixels = reader.read([path]).pixels
    except (InputError, *DAMAGE_ERRORS) as error:
        raise WrongContentError(f"what came cannot be read ({say_damage(error)})") from error
    if size != service.image_size:
        raise WrongContentError(f"what came has {size} px, asked for were {service.image_size}")
    if (pixels == pixels[0, 0]).all():
        raise AbsentError("the survey does not cover it: every pixel is the same")
