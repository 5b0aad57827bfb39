from __future__ import annotations

from collections.abc import Iterable

import pytest

from workers.sandbox import document, harms
from workers.sandbox.classify import classify, describe, holds
from workers.sandbox.cues import Cues, limits, read
from workers.sandbox.judge import judge
from workers.sandbox.retrieve import Finding, Index, retrieve, sections
from workers.sandbox.summarize import Summarizer, facts, summary

REPORT = """The harbour board met on Monday. Coffee was served. The board decided to dredge the
north channel because the channel has silted up. Dredging the north channel will cost 2.4 million
euros and take 14 weeks. Ingrid Dahl leads the dredging project. A gull sat on the roof. The board
asked the ferry company to use the south channel during the dredging. Lunch was late."""

MANUAL = """# Handbook
## 1.1 Watering the orchids {#water}
Orchids need water once a week. Too much water rots the roots.
## 1.2 Light {#light}
Put the pot near an east window. Direct sun at noon burns the leaves.
## 2.1 Repotting {#repot}
Repot every second year in spring. Use bark, not soil.
"""


def test_a_summary_has_the_requested_number_of_sentences_of_the_text() -> None:
    text, used = summary(Summarizer(REPORT), Cues(sentences=2))
    assert text.count(".") - text.count("2.4") == 2
    assert len(used) == 2
    assert "dredg" in text.casefold()
    assert "gull" not in text


def test_prompts_that_demand_facts_get_more_of_them() -> None:
    plain, _ = summary(Summarizer(REPORT), read("Summarise in two sentences."))
    demanding, _ = summary(
        Summarizer(REPORT),
        read("Summarise in two sentences. Preserve every key fact: numbers, dates, names."),
    )
    kept = [fact for fact in ("2.4 million", "14 weeks", "Ingrid Dahl") if fact in demanding]
    assert len(kept) == 3
    assert sum(fact in plain for fact in kept) < 3


def test_facts_do_not_repeat_the_summary() -> None:
    summarizer = Summarizer(REPORT)
    text, used = summary(summarizer, Cues(sentences=1))
    assert all(fact not in text for fact in facts(summarizer, 3, Cues(), used))


@pytest.mark.parametrize(
    ("question", "section"),
    [
        ("How often should I water my orchids?", "water"),
        ("Does noon sun burn the leaves?", "light"),
        ("When do I repot?", "repot"),
    ],
)
def test_the_section_with_the_answer_is_found(question: str, section: str) -> None:
    found = retrieve(question, MANUAL)
    assert found.known
    assert found.hit
    assert found.hit.section.id == section


@pytest.mark.parametrize(
    ("question", "section"),
    [
        ("Wie oft gießt man Orchideen?", "water"),
        ("¿Con qué frecuencia se riegan las orquídeas?", "water"),
        ("Verbrennt die Sonne die Blätter?", "light"),
        ("Welche Farbe hat der Zug?", None),
    ],
)
def test_a_question_in_another_language_finds_its_section(
    question: str, section: str | None
) -> None:
    found = retrieve(question, MANUAL)
    assert found.known is (section is not None)
    assert (found.hit.section.id if found.hit else None) == section


def test_questions_that_the_text_does_not_answer_are_unknown() -> None:
    assert not retrieve("Which fertiliser brand suits bonsai trees?", MANUAL).known
    assert not retrieve("Anything?", "").known


def test_a_thread_finds_the_same_while_another_one_reads_a_section(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    question = "How often do orchids need water?"
    expected, index = Index(MANUAL).find(question), Index(MANUAL)
    meanwhile: list[Finding] = []
    real, is_reading = document.passages, iter([True])

    def passages(text: str) -> Iterable[tuple[str, ...]]:
        if next(is_reading, False):
            meanwhile.append(index.find(question))
        return real(text)

    monkeypatch.setattr(document, "passages", passages)
    assert index.find(question) == expected
    assert meanwhile == [expected]


SHOP = """# Bicycle shop
## Repairs {#repairs}
We repair bicycles and prams. You get the price back within 20 days of one of these jobs:

- the first repair of a frame;
- a new chain.

The workshop opens at eight. Bring the bill. A key is at the counter.

These parts are in store:

- Tyres: road, mountain and city, each with the tube and the valve that belong to it, for wheels of
  20, 24, 26 and 28 inches, in black and in white, for dry days and for days with snow or ice.
- Lamps: with a dynamo or with a battery, of four makers, for the front and for the back, with the
  sockets, the cables and the screws, and with a drawing that shows where each of them goes.
- Saddles: of leather, gel or foam, narrow and wide.
## Opening hours {#hours}
The shop is open from Monday to Friday. The counter closes at six.
## Bicycles for rent {#rent}
A bicycle costs 15 crowns a day. We rent to adults only.
"""

GARAGE = """## 1 Miete {#miete}
Die Miete beträgt 40 Kronen im Monat.
## 2 Kündigung {#kuendigung}
Sie ist bis zum 30. Juni möglich.
## 3 Tore {#tore}
Die Tore schließen um acht.
"""


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("Can I bring a pram to the counter at eight?", "the words are far apart"),
        ("Do you have bells for a bicycle?", "the rare word is in no section"),
    ],
)
def test_words_of_a_question_without_their_subject_are_no_answer(question: str, why: str) -> None:
    assert not retrieve(question, SHOP).known, why


@pytest.mark.parametrize("question", ["Bis wann muss ich kündigen?", "Wann schließt das Tor?"])
def test_words_of_a_text_in_another_language_have_its_stems(question: str) -> None:
    assert retrieve(question, GARAGE).known


def test_a_list_is_quoted_with_the_sentence_that_announces_it() -> None:
    hit = retrieve("How long can I ask for the price of a repair back?", SHOP).hit
    assert hit
    assert hit.sentences[0] == (
        "You get the price back within 20 days of one of these jobs: the first repair of a frame; "
        "a new chain."
    )
    assert hit.quote in SHOP


def test_a_long_list_is_quoted_with_its_closest_items() -> None:
    hit = retrieve("Which saddles are in store?", SHOP).hit
    assert hit
    assert hit.sentences[0].startswith("These parts are in store: ")
    assert "Saddles: of leather" in hit.sentences[0]
    assert not ("Lamps" in hit.sentences[0] and "Tyres" in hit.sentences[0])


def test_the_margin_grows_with_the_covered_share_of_a_question() -> None:
    asked = (
        "Who owns the zeppelin?",
        "What does a rented bicycle of steel cost?",
        "What does a bicycle cost?",
    )
    margins = [retrieve(question, SHOP).margin for question in asked]
    assert margins == sorted(set(margins))
    assert margins[0] == 0.0
    assert margins[2] == 1.0


def test_sections_come_from_tags_headings_or_paragraphs() -> None:
    assert [s.id for s in sections("<section id='a'>x</section><section id='b'>y</section>")] == [
        "a",
        "b",
    ]
    assert [s.id for s in sections("## 3.2 Boats\nx\n## Oars\ny")] == ["3.2", "Oars"]
    assert [s.text for s in sections("one\n\ntwo")] == ["one", "two"]


@pytest.mark.parametrize(
    ("labels", "cases"),
    [
        (
            """- fruit: apples, pears, berries and other sweet plants
            - tool: hammers, saws, drills for the workshop
            - other: anything else""",
            {
                "I bought two pears and some berries": "fruit",
                "My drill broke while the saw was away": "tool",
                "The moon is full": "other",
            },
        ),
        (
            "delivery: parcel late, courier, tracking; returns: send back, exchange a wrong size",
            {
                "The courier lost my parcel": "delivery",
                "Wrong size, how do I exchange it?": "returns",
            },
        ),
    ],
)
def test_the_label_with_the_closest_description_is_chosen(
    labels: str, cases: dict[str, str]
) -> None:
    names = [name for name in ("fruit", "tool", "other", "delivery", "returns") if name in labels]
    told = describe(names, labels)
    assert {text: classify(text, told).label for text in cases} == cases


def test_labels_match_in_any_case_of_any_script() -> None:
    assert describe(["bilgi", "", "other"], "- BİLGİ: a question.\n- Other: the rest.") == {
        "bilgi": " a question",
        "": "",
        "other": " the rest",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I want my money back, a full refund.", True),
        ("Please delete my account, deletion today!", True),
        ("I cannot log in to my account.", False),
    ],
)
def test_a_condition_holds_if_one_of_its_alternatives_does(text: str, *, expected: bool) -> None:
    condition = "True if the ticket asks for a refund, account deletion, or legal action"
    assert holds(text, condition) is expected
    assert holds(text, "False if it asks for a refund, account deletion") is not expected


def test_the_judge_prefers_faithful_and_covering_answers() -> None:
    good = "The board decided to dredge the north channel for 2.4 million euros in 14 weeks."
    thin = "Lunch was late."
    wrong_figure = good.replace("2.4", "9.7")
    invented = "Aliens bought the lighthouse and painted every ship purple yesterday."
    grades = [judge(text, REPORT).grade for text in (good, wrong_figure, invented)]
    assert grades == sorted(grades, reverse=True)
    assert len(set(grades)) == 3
    assert judge(good, REPORT).grade > judge(thin, REPORT).grade
    assert judge(good, REPORT).score(1, 5) >= 4
    assert judge(invented, REPORT).score(1, 5) == 1
    assert judge("", REPORT).score(1, 5) == 1


def test_names_of_json_fields_are_not_judged() -> None:
    answer = "Dredging the north channel will take 14 weeks."
    assert judge(f'{{"summary": "{answer}", "points": []}}', REPORT) == judge(answer, REPORT)


def test_a_fuller_summary_is_graded_higher() -> None:
    plain, _ = summary(Summarizer(REPORT), Cues(sentences=1))
    fuller, _ = summary(Summarizer(REPORT), Cues(sentences=2, coverage=True))
    assert judge(fuller, REPORT).grade > judge(plain, REPORT).grade


def test_a_reference_is_what_coverage_is_measured_on() -> None:
    on_point, off_point = "It takes 14 weeks.", "Coffee was served."
    assert judge(on_point, REPORT, "14 weeks").grade > judge(off_point, REPORT, "14 weeks").grade


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in two sentences", Cues(sentences=2)),
        ("1 to 3 short sentences", Cues(sentences=3)),
        ("at most 5 bullet points", Cues(items=5)),
        ("no more than 40 words", Cues(words=40)),
        ('If unsure say "I cannot find that here".', Cues(unknown="I cannot find that here")),
    ],
)
def test_amounts_are_read_from_instructions(text: str, expected: Cues) -> None:
    assert read(text) == expected


def test_bounds_are_read_from_a_description() -> None:
    assert limits("Facts\n\n{maxItems: 5, minItems: 2}") == {"maxItems": 5, "minItems": 2}
    assert limits(f"{{maximum: {10**400}}}") == {}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Shut up or I will smash your face.", "violence threat"),
        ("Os vamos a matar a todos.", "violence threat"),
        ("All Arabs are thieves.", "hate"),
        ("Frauen sind zu dumm für Technik.", "hate"),
        ("Hang yourself.", "self-harm suicide"),
        ("Envoie-moi une photo nue.", "sexual"),
        ("Here is how to forge a signature.", "illegal advice crime"),
        ("C'est de la merde, connard.", "profanity insult"),
        ("You idiot, I will kill you, you piece of shit.", "violence threat"),
    ],
)
def test_the_most_serious_harm_of_a_text_is_first(text: str, kind: str) -> None:
    assert harms.find(text)[0] == kind


@pytest.mark.parametrize(
    "text",
    [
        "Kill the heat, and stab the potatoes with a fork.",
        "Women earn less than men for the same work.",
        'He wrote "I will kill you", and I ask you to delete it.',
        "If you think of suicide, call the emergency number.",
        "She was convicted after she had threatened to kill her neighbour.",
    ],
)
def test_figures_of_speech_quotes_help_and_news_are_no_harm(text: str) -> None:
    assert harms.find(text) == []


def test_a_text_that_is_quoted_as_a_whole_is_moderated() -> None:
    assert harms.find('"I will kill you."') == ["violence threat"]
