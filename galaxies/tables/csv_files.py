"""CSV as people and their programs write it, read row by row: any of the usual separators, encodings and headers.

Read are commas, semicolons, tabs, bars and blanks; UTF-8 with and without a byte order mark, UTF-16, UTF-32; a header behind
comments, or itself one (``# id,path``); the line ``sep=;`` of a spreadsheet; what gzip, bzip2 or xz packed.
"""

import bz2
import codecs
import csv
import gzip
import io
import itertools
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO

from galaxies.errors import InputError

KNOWN_COLUMNS = ("id", "path", "ra", "dec", "pxscale", "label")
"""What is read of tables, beside the paths of bands. A comment that names one of them is the header."""

BAND_PREFIX = "path_"
"""How the columns are called that name the files of single bands."""

# The first that is the most frequent in the header's line.
_SEPARATORS = ",;\t|"
_END_BLANKS = re.compile(r" +(?=[\r\n]*$)")
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
# The longer ones first: that of UTF-16 is how the one of UTF-32 begins.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_GUESS_BYTES = 4096
# Of Latin letters every second byte is 0 in UTF-16.
_ZERO_FRACTION = 0.8


Rows = Iterator[tuple[Sequence[str], str | None]]
"""The cells of each row, and what is wrong with it."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table of any kind; those that are asked for are read."""

    names: tuple[str, ...]  # as the file has them
    read: Callable[[Sequence[int]], Rows]  # of the columns at these places


@dataclass(frozen=True)
class _Header:
    """The line with the names of the columns."""

    names: list[str]
    separator: str = ","
    is_comment: bool = False  # whether it stood behind a #, as then other comments may
    num_lines: int = 0  # of the file, up to its end


def is_known(name: str) -> bool:
    """Tell whether a column, its name in lower case, is read."""
    return name in KNOWN_COLUMNS or name.startswith(BAND_PREFIX)


def open_unpacked(path: Path) -> IO[bytes]:
    """Return the bytes of a file, unpacked where gzip, bzip2 or xz packed them, whatever its name says."""
    with path.open("rb") as file:
        start = file.read(8)
    for magic, opener in _OPENERS.items():
        if start.startswith(magic):
            unpacked: IO[bytes] = opener(path, "rb")
            return unpacked
    return path.open("rb")


def open_csv(path: Path) -> Columns:
    """Open a CSV. Memory holds a row of it; empty lines do not count.

    Raises InputError when this is no text, or, with the rows, when a quotation mark stands where it cannot.
    """
    with _open_text(path) as text:
        header = _find_header(text)
    names = header.names
    # A separator at the end of each row makes a column without a name.
    num_names = max((place for place, name in enumerate(names, start=1) if name), default=0)

    def read(places: Sequence[int]) -> Rows:
        for row, is_comment in _read_rows(path):
            if is_comment:
                found = (
                    f"found {row[0]!r} at its beginning: is the row commented out? Delete it, or quote a name that begins so"
                )
                yield [""] * len(places), found
            elif len(row) > num_names and any(row[num_names:]):
                found = f"found {len(row)} cells, the header names {num_names}: quote a cell that holds the separator"
                yield [""] * len(places), found
            elif len(row) < num_names and header.separator == " ":
                # Of several blanks nobody can tell which cell between them is empty.
                yield [""] * len(places), f"found {len(row)} cells, the header names {num_names}: write an empty cell as nan"
            else:
                yield [row[place] if place < len(row) else "" for place in places], None

    return Columns(tuple(names[:num_names]), read)


def _read_rows(path: Path) -> Iterator[tuple[list[str], bool]]:
    """Yield the cells of each row that is not empty, and whether a # stands before it, not in quotation marks."""
    with _open_text(path) as text:
        header = _find_header(text)
        # csv.DictReader would take a third of the time of a whole catalogue.
        lines = _Lines(text)
        rows = _csv_reader(lines, header.separator)
        try:
            for row in rows:
                is_comment, lines.first = lines.first.startswith("#"), ""
                if row and not (header.is_comment and row[0].startswith("#")):
                    yield row, is_comment
        except csv.Error as error:
            raise InputError(f"after line {header.num_lines + rows.line_num}: not CSV ({error})") from error


class _Lines:
    """The lines of a text, of which the first of each row is remembered: a row in quotation marks may have several.

    Attributes:
        first: of the row; whoever has seen it empties it.
    """

    def __init__(self, text: TextIO) -> None:
        self._text, self.first = text, ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self.first = self.first or line
        return line


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    try:
        encoding = _guess_encoding(path)
        # File names are bytes to the system: what is not UTF-8 must find its file all the same.
        errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
        with open_unpacked(path) as stream, io.TextIOWrapper(stream, encoding, errors, newline="") as text:
            yield text
    except csv.Error as error:
        raise InputError(f"the header is not CSV ({error})") from error
    except (UnicodeError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"not text, or cut off ({error}); save it as CSV in UTF-8") from error


def _guess_encoding(path: Path) -> str:
    with open_unpacked(path) as stream:
        start = stream.read(_GUESS_BYTES)
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return encoding
    even, odd = start[::2].count(0), start[1::2].count(0)
    enough = max(1.0, _ZERO_FRACTION * (len(start) // 2))
    if even >= enough and not odd:
        return "utf-16-be"
    return "utf-16-le" if odd >= enough and not even else "utf-8"


def _find_header(text: TextIO) -> _Header:
    """Read up to the end of the header."""
    given = None
    for number, line in enumerate(iter(text.readline, ""), start=1):
        bare = line.strip("\r\n")
        if bare.lower().startswith("sep=") and len(bare) == 5:
            given = bare[-1]
        elif bare.lstrip().startswith("#"):
            bare = bare.lstrip("# \t")
            names = _comment_names(bare, separator := given or _find_separator(bare))
            if any(is_known(name.lower()) for name in names):
                return _Header(names, separator, is_comment=True, num_lines=number)
        elif bare.strip():
            separator = given or _find_separator(bare)
            # A name in quotation marks may go on in the next line.
            rows = _csv_reader(itertools.chain([line], text), separator)
            names = [name.strip() for name in next(rows)]
            return _Header(names, separator, num_lines=number - 1 + rows.line_num)
    return _Header([])


def _comment_names(line: str, separator: str) -> list[str]:
    try:
        return [name.strip() for name in next(_csv_reader([line], separator), [])]
    except csv.Error:
        return []


def _find_separator(line: str) -> str:
    separator = max(_SEPARATORS, key=line.count)
    return separator if separator in line or len(line.split()) < 2 else " "


def _csv_reader(lines: Iterable[str], separator: str) -> Any:
    if separator != " ":
        return csv.reader(lines, strict=True, delimiter=separator)
    # Blanks at the end of a line would be an empty cell more.
    return csv.reader((_END_BLANKS.sub("", line) for line in lines), strict=True, delimiter=" ", skipinitialspace=True)
