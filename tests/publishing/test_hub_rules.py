"""m3it/publishing/hub_rules.py: the table of rules, each broken by some repository of the tests beside this."""

import re

import pytest
from conftest import ROOT

from m3it.publishing.hub_rules import RULES
from publishing import test_hub_card, test_hub_parquet
from publishing.defects import findings_of

WELCOME = [*test_hub_card.WELCOME, *test_hub_parquet.WELCOME]


def test_a_release_breaks_no_rule(clean):
    assert findings_of(clean) == []


def test_every_rule_is_broken_by_some_repository_and_says_why_and_what_to_do():
    assert {rule for rule, *_ in (*test_hub_card.SPOILT, *test_hub_parquet.SPOILT)} == set(RULES)
    for rule in RULES.values():
        assert rule.level in ("error", "warning") and rule.why and rule.source and rule.fix


def test_the_guide_has_a_line_for_each_rule_with_its_level():
    text = (ROOT / "docs/publish.md").read_text("utf-8")
    told = re.findall(r"^\| `([a-z-]+)` \| (error|warning) \| .+ \|$", text, re.MULTILINE)
    assert sorted(told) == sorted((name, rule.level) for name, rule in RULES.items())


def test_rules_are_named_in_words():
    assert all(re.fullmatch("[a-z]+(-[a-z]+)+", rule) for rule in RULES)


@pytest.mark.parametrize(("rule", "change"), WELCOME, ids=[f"{rule}-{change.__name__}" for rule, change in WELCOME])
def test_what_a_rule_just_allows_breaks_it_not(spoilable, rule, change):
    change(spoilable)
    assert rule not in {finding.rule for finding in findings_of(spoilable)}
