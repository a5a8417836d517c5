"""The quickstart's skills: writes the multiple-choice items and gives the training lines.

Run `python examples/quickstart/skills.py` to write `tasks/<skill>/{search,validation,test}.jsonl` again. Each skill's
items are dealt once, from a fixed seed, into four sets that share no question: `search` (what selection sees),
`validation` (what picks the winner), `test` (what the final report uses) and `train` (what the expert learns from,
not written). Wrong choices are near misses: off by one, two, ten or a hundred, or with two digits swapped.
Needs `num2words`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from num2words import num2words

HERE = Path(__file__).parent
SIZES = {"search": 30, "validation": 60, "test": 150}


@dataclass(frozen=True)
class Question:
    """A question whose answer is a whole number, asked and answered in words."""

    key: str
    prompt: str
    number: int


def words(number: int, language: str = "en") -> str:
    return str(num2words(number, lang=language))


def vocabulary(language: str) -> list[Question]:
    """Number words of another language, 1-999, to be said in English."""
    return [Question(f"{language}-{n}", f"{words(n, language)} in English is", n) for n in range(1, 1000)]


def addition() -> list[Question]:
    """Sums of two numbers, 1-49 each, in English words."""
    return [
        Question(f"plus-{a}-{b}", f"{words(a)} plus {words(b)} equals", a + b)
        for a in range(1, 50)
        for b in range(1, 50)
    ]


SKILLS: dict[str, Callable[[], list[Question]]] = {
    "italian": lambda: vocabulary("it"),
    "indonesian": lambda: vocabulary("id"),
    "addition": addition,
}


def near_misses(number: int, chance: random.Random) -> list[int]:
    """Three wrong answers that look right: close by, or with the digits turned round."""
    steps = (1, -1, 2, -2, 3, -3, 10, -10, 9, -9, 11, -11, 20, -20, 100, -100)
    wrong = {number + step for step in steps} | {int(str(number)[::-1])}
    return chance.sample(sorted(n for n in wrong if 0 < n < 1000 and n != number), 3)


def as_item(question: Question) -> dict[str, object]:
    """The question as a line of a multiple-choice task file."""
    chance = random.Random(question.key)
    numbers = [question.number, *near_misses(question.number, chance)]
    chance.shuffle(numbers)
    return {
        "id": question.key,
        "prompt": question.prompt,
        "choices": [f" {words(n)}" for n in numbers],
        "answer": numbers.index(question.number),
    }


def deal(skill: str) -> dict[str, list[Question]]:
    """The skill's questions in disjoint sets: search, validation, test and train (all the rest)."""
    questions = SKILLS[skill]()
    random.Random(f"deal {skill}").shuffle(questions)
    sets: dict[str, list[Question]] = {}
    for name, size in SIZES.items():
        sets[name], questions = questions[:size], questions[size:]
    return {**sets, "train": questions}


def main() -> None:
    for skill in SKILLS:
        sets = deal(skill)
        for name in SIZES:
            path = HERE / "tasks" / skill / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(as_item(question), ensure_ascii=False) for question in sets[name]]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            print(f"{path.relative_to(HERE)}: {len(lines)} items, for example {lines[0]}")


if __name__ == "__main__":
    main()
