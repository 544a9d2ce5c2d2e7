"""Labels as people write them: which classes they name, and what keeps them from being classes."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from galaxies.tables.cells import is_no_class

_MOST_CLASSES = 256
_MOST_SHOWN = 20
# What the answer of nobody is called; a class may be called so, too.
_HARDLY_CLASSES = (
    "unknown",
    "unclassified",
    "unlabelled",
    "unlabeled",
    "unsure",
    "missing",
    "nil",
    "?",
    "??",
    "-",
    ".",
    "*",
    "999",
)


def order_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the classes in order: whole numbers by value, then the others by name."""
    return tuple(sorted(labels, key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name)))


@dataclass(frozen=True)
class LabelReport:
    """What a look at labels finds; each sentence says what to do."""

    summary: str  # the classes, with their numbers of galaxies
    complaints: tuple[str, ...]  # why these are no classes
    doubts: tuple[str, ...]  # what is right and hardly meant


def judge_labels(counts: Mapping[str, int]) -> LabelReport:
    """Look at labels.

    Args:
        counts: how many galaxies bear each label.
    """
    summary = f"the labels name {len(counts)} classes: {_show(counts, order_classes(counts))}"
    complaints = (*_too_many(counts), *_numbers(counts), *_spellings(counts))
    return LabelReport(summary, complaints, (*_unknown(counts), *_lonely(counts)))


def _too_many(counts: Mapping[str, int]) -> Iterator[str]:
    if len(counts) > _MOST_CLASSES:
        yield f"found {len(counts)} classes, at most {_MOST_CLASSES} are allowed; is `label` the right column?"


def _numbers(counts: Mapping[str, int]) -> Iterator[str]:
    """Fractions of votes and measured values would each become a class of their own, and -1 is nearly always `unknown`."""
    wrong = [label for label in counts if is_no_class(label)]
    if wrong:
        yield (
            f"{_show(counts, wrong)}: a number is a class only if it is whole and not below 0. Turn fractions of votes and "
            "measured values into classes, such as the answer with most votes; leave the label empty where it is unknown"
        )


def _spellings(counts: Mapping[str, int]) -> Iterator[str]:
    spellings: dict[str, list[str]] = {}
    for label in counts:
        spellings.setdefault(_plain(label), []).append(label)
    for several in spellings.values():
        if len(several) > 1:
            most = max(several, key=lambda label: counts[label])
            yield (
                f"{_show(counts, several)} differ in case, spaces or leading zeros only; write all of them {most!r}, or give "
                "other names"
            )


def _unknown(counts: Mapping[str, int]) -> Iterator[str]:
    named = [label for label in counts if _plain(label) in _HARDLY_CLASSES]
    if named:
        yield f"{_show(counts, named)}: is this a class, or what is written where none is known? Then leave the label empty"


def _lonely(counts: Mapping[str, int]) -> Iterator[str]:
    single = [label for label, count in counts.items() if count == 1]
    if single:
        yield (
            f"{_show(counts, single)}: one galaxy cannot both train a class and test it. Is the name mistyped? Label more such "
            "galaxies, put it into another class, or leave it out"
        )
    if len(counts) == 1:
        yield f"all galaxies are {next(iter(counts))!r}: there is nothing to tell apart. Are the other classes in another file?"


def _plain(label: str) -> str:
    """Return what is left of a name without case, spaces and leading zeros; an underscore often stands for a space."""
    plain = "".join(unicodedata.normalize("NFKC", label).casefold().replace("_", " ").split())
    return str(int(plain)) if plain.removeprefix("+").isdecimal() else plain


def _show(counts: Mapping[str, int], labels: Sequence[str]) -> str:
    shown = ", ".join(f"{label!r} ({counts[label]})" for label in labels[:_MOST_SHOWN])
    return f"{shown}, …" if len(labels) > _MOST_SHOWN else shown
