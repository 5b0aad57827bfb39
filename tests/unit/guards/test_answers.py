# ruff: noqa: E501, RUF001

from __future__ import annotations

from collections.abc import Mapping

import pytest

from aifeature.services.guards import answers
from aifeature.services.guards.refusals import is_refusal
from aifeature.services.payloads import language

AMONG = ("de", "en", "es", "fr", "it", "nl")
DETECT = language.probable


def test_a_wrong_language_is_found() -> None:
    text = "Der Kunde bekommt sein Geld zurück, weil das Paket nie ankam."
    problem = answers.language_problem(text, expected="en", among=AMONG, detect=DETECT)
    assert problem == "the answer is in the language de, not in en"
    assert not answers.language_problem(text, expected="de", among=AMONG, detect=DETECT)
    assert not answers.language_problem(text, expected="pl", among=AMONG, detect=DETECT)


@pytest.mark.parametrize(
    "text",
    [
        "Passwort zurück",
        "[EMAIL_1] [3] 2031-04-11",
        "Klaus Müller, 240 USD",
        "https://a.de/der/die",
    ],
)
def test_short_and_unclear_answers_have_no_wrong_language(text: str) -> None:
    assert not answers.language_problem(text, expected="en", among=AMONG, detect=DETECT)


def test_other_languages_that_are_as_likely_leave_it_open() -> None:
    def detect(_text: str, _count: int) -> Mapping[str, float]:
        return {"da": 0.5, "de": 0.4, "en": 0.02}

    text = "Navne og tal uden et klart sprog"
    assert not answers.language_problem(text, expected="en", among=("de", "en"), detect=detect)


def test_an_answer_without_words_of_its_input_is_off_topic() -> None:
    given = "The parcel with 40 headsets for Lisbon was sent on 3 March and is at a depot in Porto."
    other = "Photosynthesis converts sunlight into chemical energy inside the chloroplasts."
    fine = "A parcel for Lisbon with 40 headsets has been waiting at the Porto depot since 3 March."
    german = "Pflanzen wandeln Sonnenlicht in den Chloroplasten in chemische Energie um."
    assert answers.off_topic(other, given, detect=DETECT)
    assert not answers.off_topic(fine, given, detect=DETECT)
    assert not answers.off_topic("Nothing.", given, detect=DETECT)
    assert not answers.off_topic(german, given, detect=DETECT)


def test_topics_are_compared_without_spaces_too() -> None:
    given = "寄往里斯本的包裹于三月三日发出，内有四十副耳机，目前在波尔图仓库，预计三月十一日送达，由安娜决定是否补发。"
    fine = "里斯本的包裹内有四十副耳机，现存放在波尔图仓库，预计三月十一日送达，安娜将决定是否从马德里补发新的耳机。"
    other = "光合作用是植物利用阳光把水与二氧化碳转化成糖类并释放氧气的过程，它为地球上几乎所有生命提供能量来源和食物基础。"
    assert not answers.off_topic(fine, given, detect=DETECT)
    assert answers.off_topic(other, given, detect=DETECT)


REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "As an AI model, I cannot provide instructions for that.",
    "I won't be able to do that. Please contact a professional.",
    "Leider kann ich Ihnen dabei nicht helfen.",
    "Diese Anfrage kann ich nicht beantworten.",
    "Je suis désolé, mais je ne peux pas vous aider.",
    "Lo siento, no puedo ayudarte con eso.",
    "Mi dispiace, non posso aiutarti con questo.",
    "Het spijt me, daar kan ik niet mee helpen.",
    "Desculpe, não posso ajudar com isso.",
    "Niestety nie mogę w tym pomóc.",
    "К сожалению, я не могу ответить на этот вопрос.",
    "抱歉，我无法协助您完成这个请求。",
    "申し訳ありませんが、お手伝いできません。",
]
ANSWERS = [
    "The handbook does not say whether we can help with that.",
    "Sorry, I can't find this in the document.",
    "I'm sorry, but I can't answer that from the handbook.",
    "Anna says she can't help with the move, and Tom takes over.",
    "We can't provide a discount this year, but shipping is free.",
    "You cannot change the address after the parcel is sent.",
    "Ich kann mich nicht anmelden, schreibt der Kunde und bittet um Hilfe.",
    "Das Handbuch sagt dazu nichts.",
    "Je ne peux pas venir lundi, écrit Paul.",
    "No puedo abrir el archivo, escribe Marta.",
    "客户说无法登录账户，客服已重置密码。",
    "I can't help with that. " + "The parcel is late, so Ana decides. " * 10,
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_recognised(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)
