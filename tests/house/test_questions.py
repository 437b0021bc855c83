"""Questions on misconceptions: each choice opens and says why it is right or wrong."""

import re
from collections import Counter

import pytest

from tests.house.pages import LESSONS, every_lesson, prose

CHOICE = re.compile(
    r"^<details><summary><b>([a-d])\.</b> ([^\n]+)</summary>\n\n((?:> ?[^\n]*\n)+)\n</details>$", re.MULTILINE
)
QUESTION = re.compile(r"^\*\*(\d)\. (.+?)\*\*$", re.MULTILINE | re.DOTALL)


def questions(text: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Each question of a page with its choices: letter, choice, reason (in one line, without the quotation marks)."""
    section = re.search(r"(?ms)^## Questions\n(.*?)^## ", text)
    pieces = QUESTION.split(section[1])[1:] if section else []
    return [
        (title, [(letter, choice, re.sub(r"\s*\n> ?", " ", "\n" + reason).strip()) for letter, choice, reason in found])
        for title, found in zip(pieces[1::3], map(CHOICE.findall, pieces[2::3]), strict=True)
    ]


def complaints(text: str) -> list[str]:
    """What is wrong with the questions of a page, one line each."""
    asked = questions(text)
    found = [] if 2 <= len(asked) <= 4 else [f"{len(asked)} questions; wanted are 2 to 4"]
    if text.count("<details>") != sum(len(choices) for _, choices in asked):
        found.append("a choice is not of the form of the others, so it is not seen here")
    for title, choices in asked:
        letters = "".join(letter for letter, _, _ in choices)
        if letters not in ("abc", "abcd"):
            found.append(f"{title!r} has the choices {letters!r}")
        verdicts = [reason.partition(" ")[0] for _, _, reason in choices]
        if sorted(verdicts) != ["No."] * (len(choices) - 1) + ["Yes."]:
            found.append(f"{title!r} is answered by {verdicts}; wanted are one 'Yes.' and else 'No.'")
        found += [f"{title!r}: {letter} has no reason" for letter, _, reason in choices if len(reason.split()) < 8]
        # HTML: markdown and formulas would stand there as they were typed.
        found += [
            f"{title!r}: {letter} has markdown in {choice!r}"
            for letter, choice, _ in choices
            if set("$`*") & set(choice)
        ]
    return found


@every_lesson
def test_each_choice_has_a_reason_and_one_is_right(path):
    assert complaints(prose(path)) == []


def test_the_right_choice_is_not_known_by_its_letter_or_its_length():
    right = [
        (letter, len(choice) == max(len(other) for _, other, _ in choices))
        for path in LESSONS
        for _, choices in questions(prose(path))
        for letter, choice, reason in choices
        if reason.startswith("Yes.")
    ]
    letters = Counter(letter for letter, _ in right)
    assert max(letters.values()) <= len(right) / 2, letters
    assert sum(longest for _, longest in right) <= len(right) / 2


GOOD = """## Questions

**1. What comes?**

<details><summary><b>a.</b> One.</summary>

> Yes. It comes first, as everybody who has counted can
> tell you.

</details>
<details><summary><b>b.</b> Two.</summary>

> No. Two comes after one, and you did not wait for it.

</details>
<details><summary><b>c.</b> Three.</summary>

> No. Three comes after two, and you did not wait for it.

</details>

**2. And then?**
{}
## Summary
"""
AGAIN = GOOD.partition("?**\n")[2].partition("**2")[0]


def test_a_page_with_good_questions_has_no_complaints():
    assert complaints(GOOD.format(AGAIN)) == []
    assert questions(GOOD.format(AGAIN))[1][1][0] == (
        "a",
        "One.",
        "Yes. It comes first, as everybody who has counted can tell you.",
    )


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("> Yes.", "> No.", "is answered by"),
        ("> No. Two", "> Yes. Two", "is answered by"),
        ("</b> Two.", "</b> $2$.", "has markdown in"),
        ("> No. Two comes after one, and you did not wait for it.", "> No. Never.", "b has no reason"),
        ("<b>b.</b>", "<b>c.</b>", "has the choices 'acc'"),
        ("<details><summary><b>b.</b> Two.</summary>\n", "<details><summary>b. Two.</summary>\n", "not of the form"),
        ("**2. And then?**", "And then?", "1 questions"),
    ],
)
def test_a_page_with_a_bad_question_is_seen(before, after, complaint):
    page = GOOD.format(AGAIN)
    assert before in page
    assert any(complaint in line for line in complaints(page.replace(before, after, 1)))
