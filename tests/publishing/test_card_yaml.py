"""m3it/publishing/card_yaml.py: the head of README.md cut off, changed and spelled."""

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from m3it.publishing.card_yaml import (
    cut_head,
    parse_head,
    replace_keys,
    scalar,
    size_category,
    spelling,
    spelling_of,
)

HEAD = """# words of mine
license: mit  # checked by Ada

tags: [a,   'b']
configs:
- config_name: old
  default: true

# my own key:
mine:
- |
  configs: this is text
dataset_info: {}
last: "1"
"""


@pytest.mark.parametrize(
    ("readme", "cut"),
    [
        ("---\na: 1\n---\nwords\n", ("a: 1\n", "words\n")),
        ("---\na: 1\n---", ("a: 1\n", "")),
        ("---\n---\nwords", ("", "words")),
        ("\ufeff---\r\na: 1\r\n---\r\nwords", ("a: 1\r\n", "words")),
        ("--- \na: '---'\n--- \n---\n", ("a: '---'\n", "---\n")),
        ("words\n---\na: 1\n---\n", (None, "words\n---\na: 1\n---\n")),
        ("---\nno end", (None, "---\nno end")),
        ("----\na: 1\n---\n", (None, "----\na: 1\n---\n")),
        ("", (None, "")),
    ],
)
def test_the_head_is_what_stands_between_two_lines_at_the_top(readme, cut):
    assert cut_head(readme) == cut


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))
LONG = f"a: &a {'x' * 500_000}\nb: [{', '.join(['*a'] * 100)}]\n"


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (LAUGHS, "stand for more than a card can hold"),
        (LONG, "stand for more than a card can hold"),
        ("a: &a [*a]\n", "stand for more than a card can hold"),
        ("a: &a {b: *a}\n", "stand for more than a card can hold"),
        ("a: " + "[" * 100_000, "nest"),
        ("a: " + "[" * 900 + "]" * 900, "nested too deep"),
        ("a: 2024-13-45\n", "month must be in 1..12"),
        ("a: !!int x\n", "expected YAML in its head, "),
        ("a: !!bool x\n", "expected YAML in its head, "),
        ("a: !!timestamp x\n", "expected YAML in its head, "),
        ("a: !!python/object:os.system x\n", "could not determine a constructor"),
        ("? [a]\n: b\n", "unhashable key"),
        ("a: *b\n", "found undefined alias"),
        ("a: b\n---\nc: d\n", "expected a single document"),
    ],
)
def test_a_head_that_is_none_or_stands_for_too_much_is_refused_at_once(head, words):
    with pytest.raises(ValueError, match=words):
        parse_head(head)
    with pytest.raises(ValueError, match=words):
        replace_keys(head, {"configs": "configs: []\n"})


def test_aliases_within_reason_are_read():
    node, head = parse_head("a: &f [x, {y: 1}]\nb: [*f, *f]\n")
    assert head == {"a": ["x", {"y": 1}], "b": [["x", {"y": 1}]] * 2} and len(node.value) == 2
    assert parse_head("") == (None, None)
    large = "".join(f"k{i}: {'v' * 20}\n" for i in range(100_000))
    assert len(parse_head(large)[1]) == 100_000


def test_keys_are_replaced_where_they_stand_and_every_other_line_stays():
    new = {
        "size_categories": "size_categories:\n- n<1K\n",
        "configs": "configs: new\n",
        "dataset_info": "dataset_info: 2\n",
    }
    assert (
        replace_keys(HEAD, new)
        == """# words of mine
license: mit  # checked by Ada

tags: [a,   'b']
configs: new

# my own key:
mine:
- |
  configs: this is text
dataset_info: 2
last: "1"
size_categories:
- n<1K
"""
    )
    assert replace_keys(replace_keys(HEAD, new), new) == replace_keys(HEAD, new)


def test_a_head_of_comments_or_of_nothing_gets_the_keys():
    assert replace_keys("", {"a": "a: 1\n"}) == "a: 1\n"
    assert replace_keys("# mine\n", {"a": "a: 1\n"}) == "# mine\na: 1\n"


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("- a\n", "expected lines `key: value` in its head, found '- a'"),
        ("{license: mit}\n", "expected lines `key: value`"),
        ("  license: mit\n", "expected lines `key: value`"),
        ("a horizontal rule\n", "expected lines `key: value`"),
        ("license: [\n", "expected YAML in its head"),
    ],
)
def test_a_head_that_is_not_understood_is_refused(head, words):
    with pytest.raises(ValueError, match=words):
        replace_keys(head, {"configs": "configs: []\n"})


BLOCKS = {
    "a": "a: 1  # one\n", "b": "'b':\n- x\n-   y\n", "c": "c: |\n  ours: text\n\n  # text\n",
    "d": "d: {ours: 1,\n  e: 2}\n",
    "ours": "ours:\n- old\n- name: old\n", "ours too": '"ours too": >-\n  old\n',
}  # fmt: skip


@given(st.permutations(list(BLOCKS)), st.integers(0, 6), st.lists(st.sampled_from(["\n", "# mine\n"]), max_size=2))
def test_no_line_of_a_users_key_is_ever_lost(names, number, between):
    head = "".join("".join(between) + BLOCKS[name] for name in names[:number])
    new = replace_keys(head, {"ours": "ours: new\n", "ours too": "ours too: new\n"})
    assert yaml.safe_load(new) == {
        **(yaml.safe_load(head) or {}), "ours": "new", "ours too": "new",
    }  # fmt: skip
    users = "".join("".join(between) + BLOCKS[name] * (not name.startswith("ours")) for name in names[:number])
    assert new.replace("ours: new\n", "").replace("ours too: new\n", "") == users


@pytest.mark.parametrize(
    "text", ["no", "Null", "1e3", "a b", "c#d", "x: y", "'q'", "-dash", "中文", "plain", "a/b-c.d"]
)
def test_a_text_is_read_back_as_it_was(text):
    assert yaml.safe_load(f"- {scalar(text)}") == [text]


@pytest.mark.parametrize(
    ("type", "words", "feature"),
    [
        (pa.string(), "string", {"dtype": "string"}),
        (pa.large_string(), "string", {"dtype": "string"}),
        (pa.int32(), "int32", {"dtype": "int32"}),
        (pa.list_(pa.string()), "list: string", {"list": "string"}),
        (pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()})), "list: image", {"sequence": "image"}),
        (
            pa.list_(pa.struct({"role": pa.string()})),
            "list: [{name: role, dtype: string}]",
            {"list": [{"name": "role", "dtype": "string"}]},
        ),
    ],
)
def test_a_type_and_its_feature_have_one_spelling(type, words, feature):
    assert spelling(type) == spelling_of(feature) == words


@pytest.mark.parametrize(
    ("num_rows", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (2_400_000, "1M<n<10M"),
        (10_000_000, "10M<n<100M"),
    ],
)
def test_sizes_have_the_hubs_names(num_rows, name):
    assert size_category(num_rows) == name
