"""A recipe is readable YAML that rebuilds the same recipe; mergekit's configurations are read as they are."""

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.recipe import Recipe, RecipeModel, RecipeSlice, SliceSource
from heterosis.core.settings import Rule
from heterosis.core.tokenizer_policy import TokenizerPolicy, TokenSource
from hypothesis import given, settings
from hypothesis import strategies as st

NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9), st.booleans())
RULES = st.builds(
    Rule,
    value=st.one_of(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=4).map(tuple)),
    layers=st.none() | st.just((0, 4)) | st.just((4, 30)),
    module=st.sampled_from([None, "attention", "mlp", "other"]),
    filter=st.none() | st.sampled_from(["*", "self_attn"]),
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["weight", "density", "lambda", "normalize", "t"]),
    st.lists(RULES, min_size=1, max_size=3).map(tuple),
)
REFERENCES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
DTYPES = st.sampled_from([None, "float32", "bfloat16", "float16", "float64"])
SLICES = st.builds(
    lambda models, base, parameters, layers: RecipeSlice(
        tuple(SliceSource(model, layers, own) for model, own in models), base, parameters
    ),
    st.lists(st.tuples(REFERENCES, PARAMETERS), min_size=1, max_size=2),
    st.none() | REFERENCES,
    PARAMETERS,
    st.tuples(st.integers(0, 9), st.integers(10, 20)),
)
FORMS = st.one_of(
    st.lists(st.builds(RecipeModel, REFERENCES, PARAMETERS), min_size=1, max_size=3).map(
        lambda x: {"models": tuple(x)}
    ),
    st.lists(SLICES, min_size=1, max_size=3).map(lambda slices: {"slices": tuple(slices)}),
)
TOKENS = st.dictionaries(st.text(max_size=4), st.builds(TokenSource, st.none() | REFERENCES, force=st.booleans()))
RECIPES = st.builds(
    lambda form, **fields: Recipe(**form, **fields),
    FORMS,
    merge_method=st.sampled_from(["ties", "linear", "no", "1e3"]),
    base_model=st.none() | REFERENCES,
    parameters=PARAMETERS,
    dtype=DTYPES,
    out_dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
    tokenizer=st.none()
    | st.builds(
        TokenizerPolicy,
        REFERENCES | st.sampled_from(["union", "base"]),
        TOKENS.map(lambda tokens: tuple(tokens.items())),
        st.none() | st.integers(1, 64),
    ),
    chat_template=st.none() | st.text(min_size=1, max_size=9),
)
PLAIN = "merge_method: linear\nmodels: [one, two]\n"


@given(RECIPES)
@settings(deadline=None, max_examples=30)
def test_yaml_gives_the_same_recipe_again(recipe):
    again = Recipe.from_yaml(recipe.to_yaml())
    assert again == recipe
    assert again.hash == recipe.hash
    assert again.to_yaml() == recipe.to_yaml()


@given(RECIPES, RECIPES)
@settings(deadline=None, max_examples=30)
def test_equal_content_equal_hash(left, right):
    assert (left.hash == right.hash) == (left.to_yaml() == right.to_yaml())


def test_the_yaml_reads_like_mergekits():
    recipe = Recipe(
        "ties",
        (
            RecipeModel("one", {"weight": (Rule((0.1, 1.2)),), "density": (Rule(0.5),)}),
            RecipeModel("two", {"weight": (Rule(0.3, module="mlp"), Rule(0.7, layers=(0, 2)), Rule(0.2))}),
        ),
        base_model="base",
        parameters={"normalize": (Rule(True),)},
        dtype="float32",
        seed=7,
    )
    assert (
        recipe.to_yaml()
        == """\
merge_method: ties
base_model: base
models:
- model: one
  parameters:
    weight: [0.1, 1.2]
    density: 0.5
- model: two
  parameters:
    weight:
    - {module: mlp, value: 0.3}
    - {layers: [0, 2], value: 0.7}
    - {value: 0.2}
parameters:
  normalize: true
dtype: float32
seed: 7
"""
    )


def test_references_name_each_checkpoint_once_the_base_first():
    recipe = Recipe.from_yaml("merge_method: slerp\nbase_model: two\nmodels: [one, two, one]\n")
    assert recipe.references == ["two", "one"]


def test_what_changes_no_result_in_mergekit_is_passed_over():
    text = PLAIN + "parameters: {int8_mask: true, normalize: false}\n"
    assert Recipe.from_yaml(text).parameters == {"normalize": (Rule(False),)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN + "paramters: {}\n", "unknown key 'paramters'. Did you mean 'parameters'"),
        (PLAIN + "slices: []\n", "`slices` must list at least one slice"),
        (PLAIN + "dtype: float23\n", "unknown dtype 'float23'. Did you mean 'float32'"),
        (PLAIN + "out_dtype: [float32]\n", "unknown dtype"),
        (PLAIN + "seed: -1\n", "`seed` must be a whole number"),
        (PLAIN + "seed: 4294967296\n", "`seed` must be a whole number"),
        (PLAIN + "seed: true\n", "`seed` must be a whole number"),
        (PLAIN + "base_model: 3\n", "`base_model` must name a checkpoint, not 3"),
        (PLAIN + "parameters: [weight]\n", "`parameters` must be a mapping"),
        (PLAIN + "parameters: {1: 0.5}\n", "the parameter 1 must be a name"),
        (PLAIN + "parameters: {weight: .inf}\n", ", weight: .*finite"),
        (PLAIN + "seed: 1\nseed: 2\n", "line 4: the key 'seed' is given twice"),
        ("merge_method: linear\n", "`models` must list at least one checkpoint"),
        ("merge_method: linear\nmodels: []\n", "`models` must list at least one checkpoint"),
        ("models: [one]\n", "`merge_method` must name a method"),
        ("merge_method: 3\nmodels: [one]\n", "`merge_method` must name a method"),
        ("merge_method: linear\nmodels: [3]\n", "must name its `model`: 3"),
        ("merge_method: linear\nmodels: [{path: one}]\n", "must name its `model`"),
        ("merge_method: linear\nmodels: [{model: a, paramters: {}}]\n", "unknown key 'paramters'. Did you mean"),
        ("merge_method: linear\nmodels: [{model: a, parameters: {weight: much}}]\n", ", a, weight: .*'much'"),
    ],
)
def test_what_is_no_recipe_says_where_and_what_instead(text, message):
    with pytest.raises(ConfigurationError, match=rf"recipe.*{message}"):
        Recipe.from_yaml(text)


@given(st.recursive(st.none() | NUMBERS | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
@settings(deadline=None, max_examples=30)
def test_any_content_is_a_recipe_or_a_configuration_error(content):
    for where in Recipe.from_yaml(PLAIN).to_dict().keys() | {
        "base_model",
        "parameters",
        "dtype",
        "seed",
        "slices",
        "modules",
        "tokenizer",
        "tokenizer_source",
        "chat_template",
        "name",
    }:
        try:
            recipe = Recipe.from_dict({"merge_method": "linear", "models": ["one"], where: content})
        except ConfigurationError:
            continue
        assert Recipe.from_yaml(recipe.to_yaml()) == recipe
