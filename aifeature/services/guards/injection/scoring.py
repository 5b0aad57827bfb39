"""Scores: a sentence counts when words of several concepts are close to each other."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from aifeature.services.guards.injection.lexicon import (
    BREAK,
    DISGUISED,
    REVERSED,
    ROTATED,
    Lexicon,
    Phrase,
    Token,
    lexicon,
)
from aifeature.services.guards.injection.rules import Rule, all_rules

THRESHOLD: Final = 3
"""Points from which a sentence counts."""

_TOKEN: Final = re.compile(
    "[\\w\u0900-\u0dff\u0e31-\u0eff\u1000-\u109f\u1780-\u17d3]+|[^\\w\\s'/-]|\n"
)
_ENDS: Final = frozenset(".!?。！？؟।")
_ASKS: Final = ("?", "？", "؟")
_BEFORE: Final = 4
"""Words before an order in which its subject is searched."""
_MAX_ANCHORS: Final = 24
_BEGINNING: Final = 3
"""The words of a clause that may be an order: the first three."""
_SUBJECT_COSTS: Final = 2
"""Points that another subject of the verb costs, as in `we ignore all rules`."""
_SHORT: Final = 14
"""Words up to which a sentence may refer to the one before."""
_AROUND: Final = 4
"""Words around an anchor and its object that belong to them."""
_NAMED: Final = 5
"""Words and marks before a quotation that may name it."""
_CACHE: Final = 512


class Scorer:
    """Scores of sentences by the rules of a lexicon."""

    def __init__(self, words: Lexicon) -> None:
        self._lexicon = words
        self._tested = [
            (rule.anchor, rule.object, rule.needs or -1, rule) for rule in all_rules(words.bits)
        ]
        self._possible: dict[int, tuple[Rule, ...]] = {}
        """Cached rules that the concepts of a sentence allow."""
        bits = words.bits
        self._you, self._join, self._subject = bits["you"], bits["join"], bits["subject"]
        self._them = bits["them"]
        self._names = bits["rules"] | bits["rules_weak"] | bits["prompt"] | bits["system_prompt"]
        self._whose = bits["your"] | bits["prior"] | bits["hidden"]
        self._mine, self._topic = bits["mine"], bits["for_what"]
        self._complete, self._from_now = bits["complete"], bits["from_now"]
        self._time, self._mention = bits["for_time"], bits["mention"]
        self._negation, self._follow = bits["negation"], bits["follow"]
        self._discard, self._forget_all = bits["discard"], bits["forget_all"]
        self._discard_weak = bits["discard_weak"]
        self.report, self.foul = bits["report"], bits["foul"]
        self._nouns = bits["report"] | bits["determiner"]

    def tokens(self, folded: str, named: int = 0) -> tuple[list[Token], int]:
        """Return the words of a folded sentence with their concepts, and all concepts.

        Pronouns such as `them` also get the concepts that the sentence before names.
        """
        meaning = self._lexicon.meaning
        known = self._lexicon.known.get
        meanings = [known(word) or meaning(word) for word in _TOKEN.findall(folded)]
        found: list[Token] = []
        starts: list[tuple[int, dict[str, tuple[Phrase, ...]]]] = []
        union = 0
        for mask, tokens, phrases in meanings:
            if phrases:
                starts.append((len(found), phrases))
            if mask:
                union |= mask
            found += tokens
        whole, more = self._add_phrases(found, starts)
        union |= more
        if named and union & self._them and len(found) <= _SHORT:
            union |= named
            found = [
                Token(token.mask | named, token.word) if token.mask & self._them else token
                for token in found
            ]
        if union & self._negation and union & (self._discard | self._discard_weak | self._follow):
            union = self._negated(found, whole, union)
        return found, union

    def _add_phrases(
        self, found: list[Token], starts: list[tuple[int, dict[str, tuple[Phrase, ...]]]]
    ) -> tuple[set[int], int]:
        """Give the first word of each phrase its concepts. Return these places and concepts."""
        union = 0
        whole: set[int] = set()
        last = len(found) - 1
        for place, phrases in starts:
            if place == last:
                break
            second = found[place + 1][1]
            if second in phrases:
                possible = phrases[second]
                if "*" in phrases:
                    possible += phrases["*"]
            elif "*" in phrases:
                possible = phrases["*"]
            else:
                continue
            for phrase in possible:
                if _follows(found, place + 1, phrase.rest):
                    token = found[place]
                    found[place] = Token(token.mask | phrase.mask, token.word)
                    union |= phrase.mask
                    whole.add(place)
                    if phrase.mask & self._from_now:
                        end = place + len(phrase.rest)
                        found[end] = Token(self._join, found[end].word)
        return whole, union

    def named(self, union: int) -> int:
        """Return the concepts of a sentence that a pronoun in the next one may mean, or 0."""
        if union & self._names and union & self._whose:
            return union & (self._names | self._whose)
        return 0

    def is_known(self, word: str) -> bool:
        """Return whether a folded word is in the lexicon, alone or as the first of a phrase."""
        meaning = self._lexicon.meaning(word)
        return bool(meaning.phrases) or bool(meaning.mask & ~DISGUISED)

    def _negated(self, tokens: list[Token], whole: set[int], union: int) -> int:
        """Turn `do not follow` into discarding, and `do not forget` into nothing.

        Phrases keep their meaning, since they hold their own negation. Return all concepts.
        """
        turned = self._discard | self._discard_weak | self._forget_all
        for place, (mask, word) in enumerate(tokens):
            if place in whole or not mask & (turned | self._follow):
                continue
            if _concepts(_beside(tokens, place)) & self._negation:
                changed = mask | self._discard if mask & self._follow else mask & ~turned
                tokens[place] = Token(changed, word)
                union |= changed
        return union

    def categories(self, tokens: list[Token], union: int) -> Iterator[str]:
        """Yield the categories of the orders in a sentence."""
        possible = self._possible.get(union)
        if possible is None:
            possible = tuple(
                rule
                for anchor, other, needs, rule in self._tested
                if union & anchor and union & other and union & needs
            )
            if len(self._possible) >= _CACHE:
                self._possible.clear()
            self._possible[union] = possible
        asks = tokens[-1].word in _ASKS if tokens else False
        done = set()
        for rule in possible:
            if rule.category not in done and self._best(rule, tokens, asks=asks) >= THRESHOLD:
                done.add(rule.category)
                yield rule.category

    def _best(self, rule: Rule, tokens: list[Token], *, asks: bool) -> int:
        anchors = [place for place, token in enumerate(tokens) if token.mask & rule.anchor]
        best = 0
        for anchor in anchors[:_MAX_ANCHORS]:
            for other in _nearest(tokens, anchor, rule):
                best = max(best, self._points(rule, tokens, anchor, other, asks=asks))
                if best >= THRESHOLD:
                    return best
        return best

    def _points(
        self, rule: Rule, tokens: list[Token], anchor: int, other: int, *, asks: bool
    ) -> int:
        first, last = min(anchor, other), max(anchor, other)
        if rule.ends and not self._ends_clause(tokens, last):
            return 0
        seen = _concepts(tokens[max(0, first - _AROUND) : last + _AROUND + 2])
        order = self._order(tokens, other if rule.order_at_object else anchor)
        if (rule.needs and not seen & rule.needs) or (rule.must_order and order <= 0):
            return 0
        points = rule.base + sum(1 for bonus in rule.bonus if seen & bonus)
        if seen & DISGUISED:
            points += 1
        if order > 0 or (other < anchor and self._ends_clause(tokens, anchor)):
            points += rule.order_adds
        if rule.colon_adds and any(token.word == ":" for token in tokens[last + 1 : last + 3]):
            points += rule.colon_adds
        if _concepts(tokens[max(0, first - 1) : last + _AROUND + 2]) & self._mine:
            points -= rule.mine_costs
        after = _concepts(tokens[last + 1 : last + 3])
        if after & self._topic and not after & self._time:
            points -= rule.topic_costs
        points -= rule.asks_costs * asks
        if _concepts(tokens[first + 1 : last]) & BREAK:
            points -= rule.clause_costs
        if order > 0 or rule.question:
            return points
        costs = _SUBJECT_COSTS if order < 0 else 0
        return points - costs - (1 if asks else 0) - (1 if seen & self.report else 0)

    def _order(self, tokens: list[Token], place: int) -> int:
        """Return 1 if a word begins a clause as orders do, -1 after another subject, else 0."""
        if tokens[place].mask & self._discard and tokens[place].word.endswith("ing"):
            return 0
        for before in range(place - 1, place - 1 - _BEFORE, -1):
            mask = tokens[before].mask if before >= 0 else BREAK
            if mask & self._subject:
                return -1
            if mask & self._nouns:
                return 0
            if mask & (self._join | self._you):
                return 1
            if mask & BREAK:
                return 1 if place - before <= _BEGINNING else 0
        return 0

    def has_more(self, folded: str, other: str) -> bool:
        """Return whether a folded text has words of a concept that another one lacks."""
        meaning = self._lexicon.meaning
        return any(
            meaning(word).mask for word in set(_TOKEN.findall(folded)) - set(_TOKEN.findall(other))
        )

    def _ends_clause(self, tokens: list[Token], place: int) -> bool:
        return place + 1 >= len(tokens) or bool(tokens[place + 1].mask & (BREAK | self._join))

    def is_named(self, folded: str) -> bool:
        """Return whether the last words before a quotation name it, as in `the phrase`."""
        tokens, union = self.tokens(folded)
        if union & self._complete:
            return False
        return bool(union & self._mention and _concepts(tokens[-_NAMED:]) & self._mention)

    def is_report(self, folded: str) -> bool:
        """Return whether words around a quotation show that it is one."""
        tokens, _ = self.tokens(folded)
        return len({token.word for token in tokens if token.mask & self.report}) > 1


def is_rotated(tokens: list[Token]) -> bool:
    return sum(1 for token in tokens if token.mask & ROTATED) > 1


def is_reversed(tokens: list[Token]) -> bool:
    return sum(1 for token in tokens if token.mask & REVERSED) > 1


def _nearest(tokens: list[Token], anchor: int, rule: Rule) -> Iterator[int]:
    """Yield the next object on each side."""
    if not rule.gap:
        yield anchor
        return
    for places in (
        range(anchor + 1, min(len(tokens), anchor + rule.gap + 2)),
        range(anchor - 1, max(-1, anchor - rule.gap - 2), -1),
    ):
        for place in places:
            if tokens[place].word in _ENDS or tokens[place].mask & rule.without:
                break
            if tokens[place].mask & rule.object:
                yield place
                break


def _concepts(tokens: list[Token]) -> int:
    found = 0
    for mask, _ in tokens:
        found |= mask
    return found


def _beside(tokens: list[Token], place: int) -> list[Token]:
    """Return up to two words on each side in the same clause."""
    first, last = place, place
    while first > max(0, place - 2) and not tokens[first - 1].mask & BREAK:
        first -= 1
    while last < min(len(tokens) - 1, place + 2) and not tokens[last + 1].mask & BREAK:
        last += 1
    return tokens[first:place] + tokens[place + 1 : last + 1]


def _follows(tokens: list[Token], place: int, rest: tuple[str, ...]) -> bool:
    if place + len(rest) > len(tokens):
        return False
    for word in rest:
        found = tokens[place].word
        if found != word and not (word[-1] == "*" and found.startswith(word[:-1])):
            return False
        place += 1
    return True


@cache
def scorer() -> Scorer:
    """Return the scorer of the lexicon, made at the first use."""
    return Scorer(lexicon())
