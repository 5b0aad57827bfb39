"""Rules: which concepts make an order to the model together, and the points they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rule:
    """Two concepts that make an order together, and the concepts that make it more certain."""

    category: str
    anchor: int
    object: int
    base: int
    """Points for anchor and object alone."""
    gap: int = 8
    """Most words between both."""
    bonus: tuple[int, ...] = ()
    """Each of these near both adds a point."""
    needs: int = 0
    """One of these must be near both. 0: none must."""
    without: int = 0
    """None of these may be between both."""
    order_adds: int = 1
    """Points if the anchor is at the beginning of a clause, as orders are."""
    order_at_object: bool = False
    clause_costs: int = 0
    """Points that the end of a clause between both costs."""
    topic_costs: int = 0
    """Points that `for` or `about` after the object costs."""
    must_order: bool = False
    """Whether the anchor must begin a clause."""
    ends: bool = False
    """Whether the object must end its clause."""
    colon_adds: int = 0
    """Points for a colon after both."""
    question: bool = False
    """Whether it is a question: then another subject, or a question mark, costs nothing."""
    asks_costs: int = 0
    """Points that a question mark at the end costs, as in a polite request."""
    mine_costs: int = 0
    """Points that `my` or `I sent` near both costs: then it is about something of the user."""


def all_rules(bits: Mapping[str, int]) -> tuple[Rule, ...]:
    """Return all rules. Points were set on the development half of evals/guards/inputs.jsonl."""
    return (*_override(bits), *_leak(bits), *_role(bits), *_output(bits))


def _override(b: Mapping[str, int]) -> tuple[Rule, ...]:
    before = b["prior"] | b["after"]
    given = before | b["your"] | b["all"] | b["hidden"]
    rules = b["rules"] | b["prompt"]
    speech = b["speech"] | b["reveal"]
    whose = (before, b["your"], b["all"])

    def rule(anchor: int, other: int, base: int, **options: Any) -> Rule:
        return Rule("override", anchor, other, base, mine_costs=2, clause_costs=1, **options)

    return (
        rule(b["discard"], rules, 2, gap=9, needs=given, topic_costs=1, bonus=whose),
        rule(b["discard"], b["given"] | b["makers"], 2, gap=5, must_order=True),
        rule(b["discard"], rules | b["safety"], 2, gap=1, must_order=True, ends=True),
        rule(b["discard"], b["rules_weak"], 1, needs=given, topic_costs=1, bonus=whose),
        rule(
            b["discard_weak"],
            rules,
            1,
            gap=6,
            needs=given,
            topic_costs=1,
            bonus=(b["prior"], b["your"], b["hidden"]),
        ),
        rule(b["discard"], b["weak"], 1, gap=6, needs=b["prior"] | b["given"], bonus=whose),
        rule(
            b["discard"] | b["discard_weak"],
            b["safeguard"],
            2,
            gap=6,
            must_order=True,
            topic_costs=2,
            bonus=(b["your"] | b["all"],),
        ),
        rule(b["forget_all"], b["forget_all"], 2, gap=0),
        rule(
            b["put"],
            b["aside"],
            1,
            needs=rules | b["rules_weak"] | b["safeguard"],
            must_order=True,
            bonus=(b["your"] | before | b["hidden"] | b["all"],),
        ),
        Rule(
            "override",
            b["replace"],
            rules,
            1,
            gap=5,
            needs=b["my_own"],
            must_order=True,
            topic_costs=1,
            bonus=(b["your"] | before, b["your"]),
        ),
        rule(
            rules,
            b["not_exist"],
            1,
            gap=5,
            needs=b["suppose"],
            order_adds=0,
            question=True,
            bonus=(b["your"] | before | b["you"], b["suppose"], b["your"]),
        ),
        Rule("override", b["takeover"], b["this_chat"], 3, gap=5, order_adds=0, question=True),
        Rule(
            "override",
            rules | b["system_prompt"],
            speech | b["tell_me"],
            1,
            gap=7,
            needs=b["despite"],
            order_at_object=True,
            must_order=True,
            bonus=(b["your"] | b["hidden"],),
        ),
        Rule(
            "override",
            b["discard"] | b["discard_weak"],
            rules,
            1,
            gap=4,
            needs=b["permission"],
            bonus=(b["permission"],),
        ),
        Rule(
            "override",
            b["outrank"],
            rules | b["system_prompt"],
            1,
            gap=6,
            needs=b["your"] | b["hidden"] | b["makers"],
            order_adds=0,
            question=True,
            bonus=(
                b["your"] | b["hidden"] | b["makers"],
                b["your"] | b["system_prompt"],
                b["makers"],
            ),
        ),
        rule(
            b["discard"] | b["discard_weak"],
            b["memory"],
            2,
            gap=2,
            must_order=True,
        ),
        Rule("override", b["only_mine"], b["only_mine"], 2, gap=0, bonus=(b["from_now"], rules)),
        rule(b["discard"], b["material"], 1, gap=6, must_order=True, bonus=(speech,)),
        rule(b["discard"], b["prior"], 1, gap=3, ends=True, bonus=(speech, b["all"])),
        Rule("override", b["obey_me"], b["obey_me"], 2, gap=0, bonus=(b["discard"], b["only"])),
        Rule("override", b["sole_task"], b["sole_task"], 2, gap=0, bonus=(speech, b["discard"])),
        rule(
            rules | b["rules_weak"] | b["weak"],
            b["void"],
            1,
            gap=7,
            needs=b["prior"] | b["your"] | b["hidden"],
            order_adds=0,
            bonus=(
                before,
                b["your"],
                b["your"] | b["addressee"] | b["hidden"],
                b["instructions"] | b["prompt"],
            ),
        ),
        rule(
            b["new"],
            b["task"],
            1,
            gap=1,
            order_adds=0,
            colon_adds=1,
            bonus=(b["your"], speech | b["act"] | b["discard"], b["from_now"]),
        ),
    )


def _leak(b: Mapping[str, int]) -> tuple[Rule, ...]:
    given = b["your"] | b["hidden"] | b["prior"]
    whose = (b["your"], b["hidden"] | b["prior"], b["verbatim"])

    def rule(anchor: int, other: int, base: int, **options: Any) -> Rule:
        return Rule("leak", anchor, other, base, mine_costs=2, clause_costs=1, **options)

    shown = (*whose, b["leak_verb"], b["given"])
    return (
        rule(
            b["reveal"],
            b["prompt"] | b["system_prompt"],
            2,
            topic_costs=2,
            needs=given | b["verbatim"] | b["system_prompt"],
            bonus=shown,
        ),
        rule(
            b["reveal"],
            b["rules"],
            1,
            topic_costs=2,
            needs=b["your"] | b["hidden"],
            bonus=shown,
        ),
        rule(
            b["repeat"],
            b["rules"],
            1,
            topic_costs=2,
            must_order=True,
            needs=b["prior"],
            bonus=(b["prior"], b["verbatim"]),
        ),
        rule(
            b["what"],
            b["rules"] | b["prompt"],
            1,
            gap=9,
            needs=b["your"],
            order_adds=0,
            topic_costs=2,
            bonus=(*whose, b["prompt"] | b["instructions"], b["given"]),
        ),
        rule(
            b["repeat"],
            b["weak"],
            1,
            gap=6,
            topic_costs=1,
            must_order=True,
            needs=b["prior"],
            bonus=(b["prior"], b["verbatim"]),
        ),
        rule(
            b["reveal"],
            b["weak"],
            1,
            gap=5,
            needs=b["set_up"],
            must_order=True,
            topic_costs=1,
            bonus=(b["set_up"],),
        ),
        rule(
            b["reveal"],
            b["rules_weak"],
            1,
            topic_costs=2,
            needs=b["hidden"],
            bonus=(b["hidden"], b["your"], b["verbatim"], b["leak_verb"]),
        ),
        Rule("leak", b["system_prompt"], b["your"], 3, gap=3, order_adds=0),
        Rule("leak", b["complete"], b["prompt"] | b["rules"], 2, gap=10, must_order=True),
        rule(
            b["tell_me"] | b["send"],
            b["private"],
            2,
            gap=4,
            topic_costs=2,
            must_order=True,
            bonus=(b["leak_verb"], b["your"]),
        ),
        rule(
            b["tell_me"] | b["what"],
            b["your_secret"] | b["secret_strong"],
            2,
            gap=6,
            topic_costs=1,
            bonus=(b["leak_verb"], b["hidden"], b["verbatim"]),
        ),
        rule(
            b["tell_weak"],
            b["secret_strong"],
            1,
            gap=6,
            topic_costs=2,
            must_order=True,
            bonus=(b["secret_strong"],),
        ),
        rule(
            b["tell_me"],
            b["secret"],
            2,
            gap=6,
            without=b["how"],
            topic_costs=2,
            must_order=True,
            bonus=(b["leak_verb"], b["hidden"], b["given"]),
        ),
        Rule(
            "leak",
            b["reveal"] | b["what"] | b["written"],
            b["chat_start"],
            1,
            clause_costs=1,
            topic_costs=2,
            question=True,
            bonus=(
                b["weak"] | b["prompt"] | b["rules"],
                b["what"] | b["verbatim"],
                b["your"] | b["you"],
            ),
        ),
        rule(
            b["prompt"] | b["system_prompt"],
            b["written"],
            1,
            gap=4,
            needs=b["your"] | b["hidden"],
            order_adds=0,
            topic_costs=1,
            question=True,
            bonus=(b["your"], b["what"] | b["reveal"] | b["how"], b["prior"]),
        ),
        rule(
            b["makers"],
            b["written"] | b["prompt"] | b["rules"],
            1,
            gap=6,
            needs=b["what"] | b["reveal"],
            order_adds=0,
            question=True,
            bonus=(b["what"], b["reveal"], b["prior"] | b["weak"], b["verbatim"]),
        ),
        rule(
            b["what"],
            b["forbidden"],
            3,
            gap=4,
            order_adds=0,
            question=True,
        ),
        Rule("leak", b["what"], b["secret_strong"], 3, gap=3, must_order=True),
        rule(b["what"], b["secret"], 2, gap=3, needs=b["the_secret"], must_order=True, ends=True),
    )


def _role(b: Mapping[str, int]) -> tuple[Rule, ...]:
    speech = b["speech"] | b["reveal"]
    persona = b["persona"] | b["norules"]

    def rule(anchor: int, other: int, base: int, **options: Any) -> Rule:
        return Rule("role", anchor, other, base, **options)

    return (
        rule(b["strong_mode"], b["strong_mode"], 2, gap=0, bonus=(b["you"] | b["addressee"],)),
        rule(
            b["enable"],
            b["mode"] | b["strong_mode"],
            2,
            gap=4,
            must_order=True,
            topic_costs=2,
            bonus=(b["norules"], b["you"] | b["your"]),
        ),
        rule(b["be_now"], persona | b["act"] | b["norules"], 3, gap=5, order_adds=0),
        rule(b["dan"], b["norules"], 3, order_adds=0),
        rule(
            b["act"],
            persona | b["you"],
            2,
            gap=8,
            bonus=(b["norules"], b["addressee"]),
        ),
        rule(b["stop_being"], b["bot"], 3, gap=4, order_adds=0, must_order=True),
        rule(b["act"] | b["act_weak"], b["grandma"], 3, gap=12, order_adds=0),
        rule(
            b["act_weak"],
            persona | b["you"],
            1,
            gap=10,
            needs=b["norules"],
            bonus=(b["norules"], b["addressee"], b["modal"] | b["from_now"]),
        ),
        rule(
            b["from_now"],
            speech | b["act"] | b["be_now"] | persona | b["norules"],
            2,
            order_adds=0,
            bonus=(b["you"], b["norules"]),
        ),
        rule(
            b["norules"],
            b["you"] | b["addressee"] | b["act"] | b["be_now"] | speech,
            1,
            gap=10,
            order_adds=0,
            bonus=(
                b["you"] | b["your"],
                b["addressee"],
                speech,
                b["act"] | b["act_weak"] | b["be_now"],
                b["modal"] | b["any_request"] | b["two"],
                b["rules"] | b["rules_weak"],
            ),
        ),
    )


def _output(b: Mapping[str, int]) -> tuple[Rule, ...]:
    done = b["speech"] | b["manipulate"] | b["reveal"] | b["discard"] | b["send"]
    return (
        Rule(
            "output_control",
            b["speech"],
            b["only"],
            1,
            gap=5,
            must_order=True,
            bonus=(b["with"], b["addressee"]),
            topic_costs=1,
        ),
        Rule(
            "output_control",
            b["your"],
            b["answer_noun"],
            1,
            gap=2,
            needs=b["modal"],
            order_adds=0,
            bonus=(b["modal"], b["only"], b["addressee"]),
        ),
        Rule(
            "output_control",
            b["addressee"],
            done,
            1,
            gap=14,
            needs=b["vocative"] | b["from_now"] | b["this_document"],
            order_at_object=True,
            mine_costs=2,
            asks_costs=1,
            bonus=(
                b["vocative"],
                b["modal"],
                b["you"],
                b["only"],
                b["from_now"],
                b["this_document"],
            ),
        ),
        Rule(
            "output_control",
            b["addressee"],
            done | b["put"],
            1,
            gap=8,
            needs=b["modal"],
            order_adds=0,
            bonus=(
                b["hush"],
                b["answer_noun"],
                b["this_document"] | b["vocative"],
                b["link"] | b["quote_word"] | b["nothing_else"],
                b["manipulate"] | b["send"],
            ),
        ),
        Rule("output_control", b["speech"], b["nothing_else"], 2, gap=14, must_order=True),
        Rule(
            "output_control",
            b["speech"],
            b["quote_word"],
            1,
            gap=3,
            must_order=True,
            bonus=(b["with"], b["only"], b["addressee"], b["from_now"], b["discard"]),
        ),
        Rule("output_control", b["say_instead"], b["say_instead"], 2, gap=0),
        Rule(
            "output_control",
            b["taunt"],
            b["speech"] | b["only"] | b["repeat"] | b["with"],
            2,
            gap=10,
            order_at_object=True,
        ),
        Rule(
            "output_control",
            b["instead_of"],
            b["speech"] | b["reveal"],
            2,
            gap=10,
            order_at_object=True,
        ),
        Rule("output_control", b["secrecy"], b["secrecy"], 2, gap=0),
        Rule(
            "exfiltration",
            b["send"],
            b["link"],
            1,
            gap=12,
            must_order=True,
            needs=b["data"],
            mine_costs=2,
            bonus=(b["data"], b["your"] | b["all"] | b["hidden"]),
        ),
    )
