"""Trees of questions as YAML files: what stands there is checked before anything is made of it.

The form, of which ``columns``, ``galaxy_total``, ``after`` and ``answered`` may be left out::

    columns:                  # how tables call them; the first form whose columns are there is taken
      - {kind: counts, answer: "{question}_{answer}", total: "{question}_total"}
    galaxy_total: [total]     # columns with the number of people who looked at the galaxy
    questions:
      - {name: smooth, answers: ["yes", "no"]}
      - {name: bar, answers: ["yes", "no"], after: smooth, answered: ["no"]}
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from galaxies.data.questions import KINDS, Naming, Question, QuestionTree
from galaxies.errors import InputError
from galaxies.files import file_sha256, require_digest

_FOLDER = Path(__file__).with_name("trees")
_MAX_BYTES = 1 << 20
_MAX_QUESTIONS, _MAX_ANSWERS, _MAX_LETTERS = 200, 100, 100

_DEFAULT_NAMINGS = [{"kind": "counts", "answer": "{question}_{answer}", "total": "{question}_total"}]
_KEYS = {"columns", "galaxy_total", "questions"}
_QUESTION_KEYS = {"name", "answers", "after", "answered"}
_NAMING_KEYS = {"kind", "answer", "total"}


def list_trees() -> tuple[str, ...]:
    """Return the names of the built-in trees."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read_text(name: str) -> str:
    """Return the file of a built-in tree. Raises InputError where there is none of that name."""
    if name not in list_trees():
        raise InputError(f"There is no built-in tree of questions {name!r}; there are {', '.join(list_trees())}.")
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def open_tree(name: str, path: Path = Path(), sha256: str | None = None) -> QuestionTree:
    """Return a built-in tree, or the one in a file.

    Args:
        name: of a built-in one, or how a message calls the file.
        path: of the file; no matter where ``name`` is built in.
        sha256: the file's digest, or ``any``: DVC sees the parameter, not the file.

    Raises:
        InputError: there is no such tree or file, or it is not in the form above; every complaint is listed.
    """
    if name in list_trees():
        if sha256 is not None:
            raise InputError(f"train.questions_sha256: found a digest, but {name} is built in; use null.")
        return read_tree(_FOLDER / f"{name}.yaml")
    if not path.is_file():
        raise InputError(f"train.questions: found {name!r}, which is no file, and not one of {', '.join(list_trees())}.")
    require_digest(file_sha256(path), sha256, key="train.questions_sha256", what=str(path))
    return read_tree(path)


def read_tree(path: Path) -> QuestionTree:
    """Read a tree of questions. Raises InputError that lists what is wrong with the file."""
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path} has more than {_MAX_BYTES} bytes; a tree of questions is a small YAML file.")
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    return parse_tree(values, name=path.stem, where=str(path))


def parse_tree(values: object, *, name: str, where: str) -> QuestionTree:
    """Return the tree that plain values describe, as a file or :func:`describe_tree` gives them.

    Args:
        values: what YAML or JSON gave.
        name: of the tree.
        where: what a message names.

    Raises:
        InputError: one message that lists every complaint.
    """
    complaints = list(_find_complaints(values))
    if complaints or not isinstance(values, Mapping):
        listing = "\n".join(f"  {complaint}" for complaint in complaints)
        raise InputError(f"{where} is no tree of questions:\n{listing}")
    questions = tuple(
        Question(str(q["name"]), _texts(q["answers"]), q.get("after"), _texts(q.get("answered", ())))
        for q in values["questions"]
    )
    namings = tuple(Naming(n["kind"], n["answer"], n.get("total")) for n in values.get("columns", _DEFAULT_NAMINGS))
    return QuestionTree(name, questions, namings, tuple(values.get("galaxy_total", ())))


def describe_tree(tree: QuestionTree) -> dict[str, Any]:
    """Return the plain values that :func:`parse_tree` reads."""
    return {
        "columns": [
            {"kind": naming.kind, "answer": naming.answer} | ({"total": naming.total} if naming.total else {})
            for naming in tree.namings
        ],
        "galaxy_total": list(tree.galaxy_totals),
        "questions": [
            {"name": question.name, "answers": list(question.answers)}
            | ({"after": question.after, "answered": list(question.answered)} if question.after is not None else {})
            for question in tree.questions
        ],
    }


def _find_complaints(values: object) -> Iterator[str]:
    if not isinstance(values, Mapping) or not set(map(str, values)) <= _KEYS or not _is_list(values.get("questions")):
        yield f"found {_show(values)}, expected a mapping with questions, and perhaps columns and galaxy_total"
        return
    namings, totals, questions = values.get("columns", []), values.get("galaxy_total", []), values["questions"]
    if not _is_list(totals) or not all(map(_is_name, totals)):
        yield f"galaxy_total: found {_show(totals)}, expected a list of columns"
    if not _is_list(namings):
        yield f"columns: found {_show(namings)}, expected a list of forms"
    else:
        for number, naming in enumerate(namings, start=1):
            yield from (f"columns, form {number}: {problem}" for problem in _naming_problems(naming))
    if not 1 <= len(questions) <= _MAX_QUESTIONS:
        yield f"questions: found {len(questions)}, expected 1 to {_MAX_QUESTIONS}"
        return
    before: dict[str, tuple[str, ...]] = {}
    for number, question in enumerate(questions, start=1):
        problems = list(_question_problems(question, before))
        yield from (f"question {number}: {problem}" for problem in problems)
        if not problems:
            before[str(question["name"])] = _texts(question["answers"])
    columns = Counter(f"{name}_{answer}" for name, answers in before.items() for answer in answers)
    yield from (f"questions: {column} would stand there {count} times" for column, count in columns.items() if count > 1)


def _naming_problems(naming: object) -> Iterator[str]:
    if not isinstance(naming, Mapping) or not {"kind", "answer"} <= set(naming) <= _NAMING_KEYS:
        yield f"found {_show(naming)}, expected kind and answer, and perhaps total"
        return
    if naming["kind"] not in KINDS:
        yield f"kind: found {_show(naming['kind'])}, allowed is {' | '.join(KINDS)}"
    answer, total = naming["answer"], naming.get("total")
    if not (_is_name(answer) and "{answer}" in str(answer) and "{question}" in str(answer)):
        yield f"answer: found {_show(answer)}, expected a pattern with {{question}} and {{answer}}"
    if total is not None and not (_is_name(total) and "{question}" in str(total)):
        yield f"total: found {_show(total)}, expected a pattern with {{question}}"


def _question_problems(question: object, before: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if not isinstance(question, Mapping) or not {"name", "answers"} <= set(question) <= _QUESTION_KEYS:
        yield f"found {_show(question)}, expected name and answers, and perhaps after with answered"
        return
    name, answers = question["name"], question["answers"]
    if not _is_name(name) or name in before:
        yield f"name: found {_show(name)}, expected a text that no other question has"
    if not _is_list(answers) or not 1 <= len(answers) <= _MAX_ANSWERS or not all(map(_is_name, answers)):
        yield f"answers: found {_show(answers)}, expected a list of 1 to {_MAX_ANSWERS} texts"
    elif len(set(_texts(answers))) < len(answers):
        yield f"answers: found {_show(answers)}, each must stand there once"
    after, answered = question.get("after"), question.get("answered")
    if after is None and answered is None:
        return
    if not isinstance(after, str) or after not in before:
        yield f"after: found {_show(after)}, expected a question that stands before this one ({', '.join(before) or 'none'})"
    elif not _is_list(answered) or not answered or not all(_is_name(a) and str(a) in before[after] for a in answered):
        yield f"answered: found {_show(answered)}, expected some of {', '.join(before[after])}"
    elif len(set(_texts(answered))) < len(answered):
        yield f"answered: found {_show(answered)}, each must stand there once"


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _is_name(value: object) -> bool:
    """Tell whether a value is a name; numbers of arms are some."""
    if isinstance(value, int) and not isinstance(value, bool):
        return 0 <= value < 1000
    return isinstance(value, str) and 0 < len(value.strip()) <= _MAX_LETTERS and value.isprintable()


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values))


def _show(value: object) -> str:
    # An alias that contains itself, or many of them, would be shown for ever.
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(str(key)[:_MAX_LETTERS] for key in list(value)[:5]) or 'nothing'}"
    if _is_list(value):
        return "[" + ", ".join(_show(part) if not _is_list(part) else "[…]" for part in list(value)[:5]) + "]"  # type: ignore[call-overload]
    return repr(value)[: _MAX_LETTERS + 20]
