"""The chat template that a recipe asks for is the only one in the folder that is written."""

import json

import pytest
from heterosis.core.chat_templates import chat_template, template_of, write_template
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import ConfigurationError
from heterosis.core.executors import write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from transformers import AutoTokenizer

TALK = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]


@pytest.mark.parametrize(
    "stored", ["{{ 1 }}", [{"name": "tool", "template": "{{ 2 }}"}, {"name": "default", "template": " {{ 1 }}\n"}]]
)
def test_a_template_is_found_where_old_and_new_tokenizers_keep_it(stored, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": stored, "other": 1}))
    assert template_of(tmp_path) == "{{ 1 }}"
    write_template("{{ 3 }}", tmp_path)
    assert template_of(tmp_path) == "{{ 3 }}"
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {"other": 1}


def test_a_folder_without_a_tokenizer_has_none(tmp_path):
    assert template_of(tmp_path) is None


@pytest.mark.parametrize("wanted", ["chatmml", "no such name", "../chatml", "plain text of some length, no braces"])
def test_what_is_no_template_is_refused(wanted):
    with pytest.raises(ConfigurationError, match=r"is no template .* and no known name; `auto` and `chatml`"):
        chat_template(wanted, [])


def test_auto_finds_nothing_where_nobody_has_one(checkpoints):
    assert chat_template("auto", list(SourceSet("base", ["one"], checkpoints).values())) is None


def test_a_written_model_speaks_as_the_recipe_says(checkpoints, tmp_path):
    text = "merge_method: passthrough\nmodels: [one]\nchat_template: chatml\n"
    write_model(plan(Recipe.from_yaml(text), SourceSet("one", [], checkpoints)), tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n<|im_start|>assistant\n"
    )
