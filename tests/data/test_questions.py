"""Trees of questions: what leads where, and files of them, hostile until they are checked."""

from pathlib import Path

import numpy as np
import pytest

from galaxies.data.question_files import describe_tree, list_trees, open_tree, parse_tree, read_tree
from galaxies.data.questions import Naming, Question, QuestionTree
from galaxies.errors import InputError
from galaxies.files import file_sha256

TREE = QuestionTree(
    "toy",
    (
        Question("shape", ("smooth", "disk", "star")),
        Question("edge", ("yes", "no"), "shape", ("disk",)),
        Question("bar", ("bar",), "edge", ("no",)),
        Question("odd", ("yes", "no"), "shape", ("smooth", "disk")),
    ),
)
FRACTIONS = np.array([[0.25, 0.5, 0.25, 0.2, 0.8, 1.0, 0.1, 0.9]])


def read(path: Path, text: str) -> QuestionTree:
    path.write_text(text)
    return read_tree(path)


def test_answers_have_their_places_in_one_list() -> None:
    assert TREE.slices == (slice(0, 3), slice(3, 5), slice(5, 6), slice(6, 8))
    assert (len(TREE), TREE.num_answers) == (4, 8)
    assert TREE.columns[:4] == ("shape_smooth", "shape_disk", "shape_star", "edge_yes")
    assert TREE.parents == ((), (1,), (4,), (0, 1))
    assert [TREE.ancestors(question) for question in range(4)] == [(), (0,), (0, 1), (0,)]


def test_the_share_of_people_who_come_to_a_question_is_the_product_on_the_way() -> None:
    np.testing.assert_allclose(TREE.reach(FRACTIONS), [[1, 0.5, 0.4, 0.75]])


def test_some_of_the_questions_are_a_tree_too() -> None:
    some = TREE.select(["bar", "shape", "odd"])
    assert [question.name for question in some.questions] == ["shape", "bar", "odd"]
    assert some.parents == ((), (), (0, 1))
    with pytest.raises(InputError, match="toy has no question 'arms'; its questions are shape, edge, bar, odd"):
        TREE.select(["arms"])


def test_a_pattern_says_what_the_columns_are_called() -> None:
    naming = Naming("fractions", "{question}-x_{answer}_frac", "{question}_n")
    assert naming.columns(TREE.questions[1]) == ("edge-x_yes_frac", "edge-x_no_frac")
    assert naming.total_column(TREE.questions[1]) == "edge_n"
    assert Naming("counts", "{question}.{answer.__class__}").columns(TREE.questions[2]) == ("bar.{answer.__class__}",)


@pytest.mark.parametrize(
    ("name", "num_questions", "num_answers"),
    [
        ("gz2", 11, 37),
        ("gz2_zoobot", 10, 30),
        ("gz_decals", 10, 34),
        ("gz_hubble", 13, 40),
        ("gz_candels", 12, 38),
        ("gz_euclid", 13, 46),
    ],
)
def test_the_trees_of_galaxy_zoo_are_built_in(name: str, num_questions: int, num_answers: int) -> None:
    tree = open_tree(name, Path("nowhere"), None)
    assert (len(tree), tree.num_answers) == (num_questions, num_answers)
    # Everybody is asked the first question, and nobody any other one without a reason.
    assert [question.name for question in tree.questions if question.after is None] == [tree.questions[0].name]
    # What describes a tree makes it again.
    assert parse_tree(describe_tree(tree), name=name, where="here") == tree


def test_these_are_all_built_in_trees() -> None:
    assert {"gz2", "gz2_zoobot", "gz_candels", "gz_decals", "gz_euclid", "gz_hubble"} <= set(list_trees())


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    tree = read(tmp_path / "mine.yaml", "questions: [{name: arms, answers: [1, 2, more]}]")
    assert tree.questions == (Question("arms", ("1", "2", "more")),)
    assert tree.namings == (Naming("counts", "{question}_{answer}", "{question}_total"),)


def test_a_file_goes_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("questions: [{name: arms, answers: [1, 2]}]")
    assert open_tree("mine.yaml", path, file_sha256(path)).name == "mine"
    with pytest.raises(InputError, match=r"train\.questions_sha256"):
        open_tree("mine.yaml", path, "0" * 64)
    with pytest.raises(InputError, match=r"train\.questions_sha256: found a digest, but gz2 is built in; use null"):
        open_tree("gz2", path, "0" * 64)
    with pytest.raises(InputError, match=r"found 'nine', which is no file, and not one of .*gz2, "):
        open_tree("nine", tmp_path / "nine", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found None, expected a mapping with questions"),
        ("[1, 2]", r"found \[1, 2\], expected a mapping"),
        ("questions: []", "questions: found 0, expected 1 to 200"),
        ("questions: [{name: a, answers: [x]}]\nextra: 1", "found a mapping of questions, extra"),
        ("questions: [3]", "question 1: found 3, expected name and answers"),
        ("questions: [{name: a, answers: [x], then: b}]", "question 1: found a mapping of name, answers, then"),
        ("questions: [{name: true, answers: [x]}]", "name: found True, expected a text"),
        ("questions: [{name: a, answers: []}]", r"answers: found \[\], expected a list of 1 to 100 texts"),
        ("questions: [{name: a, answers: [true]}]", r"answers: found \[True\]"),
        ("questions: [{name: a, answers: [x, x]}]", "each must stand there once"),
        ('questions: [{name: "a\\nb", answers: [x]}]', "name: found 'a"),
        ("questions: [{name: a, answers: [x], after: b, answered: [x]}]", r"after: found 'b', expected .* \(none\)"),
        ("questions: [{name: a, answers: [x], after: a, answered: [x]}]", "after: found 'a'"),
        (
            "questions: [{name: a, answers: [x]}, {name: b, answers: [y], after: a, answered: [z]}]",
            r"question 2: answered: found \['z'\], expected some of x",
        ),
        ("questions: [{name: a, answers: [x]}, {name: b, answers: [y], after: a}]", "answered: found None"),
        (
            "questions: [{name: a, answers: [x]}, {name: b, answers: [y], after: a, answered: [x, x]}]",
            r"answered: found \['x', 'x'\], each must stand there once",
        ),
        ("questions: [{name: a, answers: [x]}, {name: a, answers: [y]}]", "question 2: name: found 'a'"),
        ("questions: [{name: a, answers: [b_c]}, {name: a_b, answers: [c]}]", "a_b_c would stand there 2 times"),
        ("columns: 3\nquestions: [{name: a, answers: [x]}]", "columns: found 3, expected a list of forms"),
        ("columns: [{kind: counts}]\nquestions: [{name: a, answers: [x]}]", "form 1: found a mapping of kind, expected"),
        (
            "columns: [{kind: rough, answer: x, total: y}]\nquestions: [{name: a, answers: [x]}]",
            "(?s)kind: found 'rough', allowed is counts | fractions | debiased.*answer: found 'x'.*total: found 'y'",
        ),
        ("galaxy_total: n\nquestions: [{name: a, answers: [x]}]", "galaxy_total: found 'n', expected a list"),
        ("questions: [", "is not valid YAML"),
        ("questions: 1\nquestions: 2", "is not valid YAML"),
        ("!!python/object/apply:os.system [true]", "is not valid YAML"),
        ("[" * 1200, "is not valid YAML: maximum recursion"),
        ("a: &a [*a, *a]\nquestions: *a", r"found a mapping of a, questions"),
        ("questions: &a [*a]", r"question 1: found \[\[…\]\]"),
    ],
)
def test_a_file_that_is_no_tree_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "tree.yaml", text)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = "questions: [{name: 7.5, answers: [x]}, {name: b, answers: [y, y]}]"
    with pytest.raises(InputError, match=r"(?s)tree\.yaml is no tree of questions:\n  question 1: name.*question 2: answers"):
        read(tmp_path / "tree.yaml", text)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has more than 1048576 bytes"):
        read(tmp_path / "tree.yaml", "#" * (1 << 20) + "\n")
