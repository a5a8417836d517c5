"""Whether a text is greedy, told by growing texts: the tokens of a script are what lies between its bars."""

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.plugins.tasks.lm_eval_greedy import are_greedy


class Script:
    """After a prompt it writes its tokens, one more the more are asked."""

    def __init__(self, **tokens):
        self.tokens = {prompt: text.split("|") for prompt, text in tokens.items()}
        self.asked = []

    def generate(self, prompts, max_tokens, stop=()):
        self.asked.append((list(prompts), max_tokens))
        return ["".join(self.tokens[prompt][:max_tokens]) for prompt in prompts]


@pytest.mark.parametrize(
    ("written", "wanted", "greedy"),
    [
        (" sign|s| of", " sign", True),
        (" signs| of", " sign", False),
        (" sign|s| of", " signs", True),
        (" si|gn", " sign", True),
        (" dog| of", " sign", False),
        ("", " sign", False),
        (" si", " sign", False),
        ("\ufffd|è", "è", False),
    ],
)
def test_a_text_must_end_where_a_token_ends(written, wanted, greedy):
    assert are_greedy(Script(prompt=written), [("prompt", wanted)]) == [greedy]


def test_a_character_may_come_in_parts():
    class Parts:
        def generate(self, prompts, max_tokens, stop=()):
            return [b" \xc3\xa8"[: max_tokens + 1].decode(errors="replace") for _ in prompts]

    assert are_greedy(Parts(), [("prompt", " è")]) == [True]


def test_only_those_that_agree_are_asked_on_and_each_prompt_once():
    model = Script(a=" one| two", b=" no| two")
    pairs = [("a", " one two"), ("a", " three"), ("b", " one two"), ("a", " one")]
    assert are_greedy(model, pairs) == [True, False, False, True]
    assert model.asked == [(["a", "b"], 1), (["a"], 2)]


def test_an_empty_prompt_is_refused():
    with pytest.raises(ConfigurationError, match="empty prompt"):
        are_greedy(Script(), [("", "a")])
