"""Personal data is replaced by placeholders, and look-alikes stay."""

# ruff: noqa: RUF001 (words of many languages)

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from aifeature.guarding import GuardTimeoutError, TimeLimit
from aifeature.personal_data import Kind, Redactor, redact, redact_json, values


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to Ann.B+x@Mail.Example.com.", "Write to [EMAIL_1]."),
        ("请联系zhang@example.com谢谢", "请联系[EMAIL_1]谢谢"),
        ("an info＠bücher.example und ann (at) host (dot) org", "an [EMAIL_1] und [EMAIL_2]"),
        ("a=ann%40example.com&b=1", "a=[EMAIL_1]&b=1"),
        ("Ruf +49 (0)30 12345678 oder 0171/1234567 an", "Ruf [PHONE_1] oder [PHONE_2] an"),
        ("Le 06.12.34.56.78, jour et nuit", "Le [PHONE_1], jour et nuit"),
        ("手机13812345678。", "手机[PHONE_1]。"),
        ("اتصل بي على ٠١٠١٢٣٤٥٦٧٨", "اتصل بي على [PHONE_1]"),
        ("Phone: 555-0199", "Phone: [PHONE_1]"),
        ("Karte 4111\u00a01111\u00a01111\u00a01111 bis 12/29", "Karte [CARD_1] bis 12/29"),
        ("４１１１–１１１１–１１１１–１１１１", "[CARD_1]"),
        ("4111\u200b1111\u200b1111\u200b1111", "[CARD_1]"),
        ("3782 822463 10005 or 378282246310005", "[CARD_1] or [CARD_1]"),
        ("to de89 3704 0044 0532 0130 00 today", "to [IBAN_1] today"),
        ("SSN 078-05-1120, NIF 12345678Z", "SSN [ID_1], NIF [ID_2]"),
        ("身份证11010519491231002X", "身份证[ID_1]"),
        ("CPF 123.456.789-09; RSSMRA85T10A562S", "CPF [ID_1]; [ID_2]"),
        ("from 192.168.7.20 and 2001:db8::ff00:42:8329", "from [IP_1] and [IP_2]"),
        ("postgres://app:s3cr3t@db/x", "postgres://[SECRET_1]@db/x"),
        ("Mein Passwort ist hunter2.", "Mein Passwort ist [SECRET_1]."),
        ("密码：abc12345", "密码：[SECRET_1]"),
        ("密码是abc12345请保密", "密码是[SECRET_1]请保密"),
        ("key sk-ant-api03-AbCdEfGhIjKlMnOpQrSt", "key [SECRET_1]"),
        ("Authorization: Bearer 8f7a6b5c4d3e2f1a0b9c", "Authorization: Bearer [SECRET_1]"),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\nend",
            "[SECRET_1]\nend",
        ),
    ],
)
def test_personal_data_is_replaced(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "image@2x.png, react@18.2.0, @ann, user@localhost, git@github.com:a/b.git",
        "next@14.1.0-canary.next and logo@3x.webp",
        "Phone call on 06.12.2024 at 14:30, then on 2024-12-08",
        "Order 4539578763621486 of 2024-05-06, 06.12.2024, 10:30:45, 20240506123000",
        "Bestellung 030 12345678 kostet 1.234.567,89 EUR oder $12,345,678",
        "12 345 678 EUR, kr 1.234.567, ₹ 12,34,567.50, 079 405 685 inhabitants, 123456789 bytes",
        "The order number is: 4539578763621486. Numéro de client est 0048213377, merci.",
        "Order number:\n4539578763621486",
        "注文番号は 4539578763621486, Заказ № 4539578763621486",
        "2024\n2025\n2026\n2027, 42424242\n42424242, docs/a@b.md",
        "<td>4111</td><td>1111</td><td>1111</td><td>1111</td> 4111,1111,1111,1111",
        "a=1&b=2&copy=3 100% <b>x</b> [0-9]\\d{3}",
        "Raum 3.14.159.26, tier 1.2.3.4, build 10.0.19.1",
        "GET /a?token=expired. | user | password | role |\n|---|---|---|",
        "| name | password |\n|---|---|\n<password>required</password>",
        "The password for the course is wrong. PIN code 560001. Login and pw are missing.",
        "9fceb02d0ae598e95dc970b74767f19372d61af8 123e4567-e89b-12d3-a456-426614174000",
        "version 1.2.3.4, v10.0.19041.1, 52.520008, 13.404954, 12 345 678 inhabitants",
        "ISBN 978-3-16-148410-0, 9783161484100, CS-101, 00:1A:2B:3C:4D:5E, std::vector",
        "4111 1111 1111 1112 and DE89370400440532013001 and 12345678A",
        "The password is wrong. Passwords must be changed every 90 days.",
        "Password: required",
        "[EMAIL_1] [ID_12] [SECRET_3]",
    ],
)
def test_look_alikes_stay(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("name", "text", "redacted"),
    [
        ("ticket", "My 378282246310005 was declined", "My [CARD_1] was declined"),
        ("order_ref", "0171-2345678 please call back", "[PHONE_1] please call back"),
        ("ticket", "219-09-9999 is my ssn", "[ID_1] is my ssn"),
        ("ticket", "order 4539578763621486", "order 4539578763621486"),
        ("phone", "1234567", "[PHONE_1]"),
        ("session_token", "abcd1234efgh5678", "[SECRET_1]"),
    ],
)
def test_name_of_a_field_finds_values_and_hides_none(name: str, text: str, redacted: str) -> None:
    assert redact_json({name: text}, Redactor()) == {name: redacted}


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Visa 4111 1111 1111 1111 EUR 12.50", "Visa [CARD_1] EUR 12.50"),
        ("card 4111111111111111 $49.99", "card [CARD_1] $49.99"),
        ("usd 49 4111111111111111 kr", "usd 49 [CARD_1] kr"),
        ("€ 4111-1111-1111-1111", "€ [CARD_1]"),
        ("015123456789 EUR 20", "[PHONE_1] EUR 20"),
        ("PESEL 44051401359 kg", "PESEL [ID_1] kg"),
        ("My order was paid with 4111111111111111", "My order was paid with [CARD_1]"),
        ("You charged 4111111111111111 twice", "You charged [CARD_1] twice"),
        ("Rechnung 12 bezahlt mit 4111111111111111", "Rechnung 12 bezahlt mit [CARD_1]"),
        ("ordered from 0151 23456789", "ordered from [PHONE_1]"),
        ("ticket 12, 0171-2345678", "ticket 12, [PHONE_1]"),
        ("订单付款 4111111111111111", "订单付款 [CARD_1]"),
    ],
)
def test_words_and_currencies_nearby_hide_no_value(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("4111 1111 1111\n1111 ok", "[CARD_1] ok"),
        ("> card 4111 1111\n> 1111 1111", "> card [CARD_1]"),
        ("4111\t1111\t1111\t1111, 4111·1111·1111·1111", "[CARD_1], [CARD_1]"),
        ("**4111** **1111** **1111** **1111**", "**[CARD_1]**"),
        ("4111_1111_1111_1111; pay-4111111111111111", "[CARD_1]; pay-[CARD_1]"),
        ("4111111111111111-1227-123", "[CARD_1]-1227-123"),
        ("IBAN DE89 3704 0044\n0532\t0130_00", "IBAN [IBAN_1]"),
        ("Tel: 0151\n23456789, +49\t30\t12345678", "Tel: [PHONE_1], [PHONE_2]"),
        ("Tel 0151 23456789\n12 rooms", "Tel [PHONE_1]\n12 rooms"),
        ("jane.roe@example。com jane@example.md", "[EMAIL_1] [EMAIL_2]"),
        ("संपर्क@डाटामेल.भारत", "[EMAIL_1]"),
    ],
)
def test_split_value_is_replaced(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("4111&nbsp;1111&nbsp;1111&nbsp;1111", "[CARD_1]"),
        ("a <b>4111</b>1111<!-- x -->1111&#49;111!", "a <b>[CARD_1]!"),
        ("jane&#46;roe&#0064;example.com <br>x", "[EMAIL_1] <br>x"),
        (r"jane\.roe\@example\.com", "[EMAIL_1]"),
        ("q=%6aane%2540example.com&r=1", "q=[EMAIL_1]&r=1"),
        (r"jane\u0040example.com", "[EMAIL_1]"),
        (r"telefon: +\u003353\u002022\u0020122\u0031\u0034", "telefon: [PHONE_1]"),
        ("<p>a@b.com</p><p>c@d.com</p>", "<p>[EMAIL_1]</p><p>[EMAIL_2]</p>"),
    ],
)
def test_value_in_code_is_replaced_with_its_code(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("pw: tulips", "pw: [SECRET_1]"),
        ("login jane pw tulips", "login jane pw [SECRET_1]"),
        ("<password>tulips</password>", "<password>[SECRET_1]</password>"),
        ("| password | tulips |", "| password | [SECRET_1] |"),
        ("my password for the site is tulips99", "my password for the site is [SECRET_1]"),
        ("Passwort für den Kurs ist Sommer99", "Passwort für den Kurs ist [SECRET_1]"),
        ("Cookie: theme=dark; a=9f8e7d6c5b4a3928", "Cookie: theme=dark; a=[SECRET_1]"),
        ("x?sessionid=9f8e7d6c5b4a3928", "x?sessionid=[SECRET_1]"),
        (
            "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "[SECRET_1] [SECRET_2]",
        ),
        ("PIN-Code: 123456", "PIN-Code: [SECRET_1]"),
        ("Mein Passwort lautet hunter2!", "Mein Passwort lautet [SECRET_1]"),
    ],
)
def test_secret_is_replaced(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize("text", ["update from 203.0.113.77", "build 203.0.113.77 blocked"])
def test_large_first_number_is_no_version(text: str) -> None:
    assert redact(text) == text.replace("203.0.113.77", "[IP_1]")


@pytest.mark.parametrize("value", ["811228-9874", "44051401359", "0171-2345678"])
def test_each_number_of_a_long_row_is_replaced(value: str) -> None:
    assert value not in redact(f"{value} " * 30)


def test_same_value_gets_the_same_placeholder_in_every_spelling() -> None:
    redactor = Redactor()
    assert redactor.redact("Ann@Example.com, 4111-1111-1111-1111") == "[EMAIL_1], [CARD_1]"
    assert redactor.redact("ann@example.com 4111111111111111 bob@example.com") == (
        "[EMAIL_1] [CARD_1] [EMAIL_2]"
    )
    assert redactor.found == {Kind.EMAIL: 3, Kind.CARD: 2}


def test_numbers_continue_after_known_placeholders() -> None:
    redactor = Redactor(["see [EMAIL_3]"])
    assert redactor.redact("ann@example.com") == "[EMAIL_4]"
    assert redact("[EMAIL_1] is not ann@example.com") == "[EMAIL_1] is not [EMAIL_2]"


def test_public_values_stay() -> None:
    public = values("Write to Support@Example.com or +49 30 12345678")
    redactor = Redactor(public=public)
    text = "support@example.com, +49-30-12345678"
    assert redactor.redact(text + ", ann@example.com") == text + ", [EMAIL_1]"


def test_json_keeps_its_shape_and_names_are_redacted_too() -> None:
    value: dict[str, Any] = {
        "ann@example.com": ["4111111111111111", 7, None],
        "ANN@example.com": {"phone": "1234567", "password": "hunter"},
    }
    before = json.dumps(value)
    assert redact_json(value, Redactor()) == {
        "[EMAIL_1]": ["[CARD_1]", 7, None],
        "[EMAIL_1] 2": {"phone": "[PHONE_1]", "password": "[SECRET_1]"},
    }
    assert json.dumps(value) == before


def test_deep_json_needs_no_deep_stack() -> None:
    deep: Any = "ann@example.com"
    for _ in range(5000):
        deep = [deep]
    redacted = redact_json(deep, Redactor())
    while isinstance(redacted, list):
        redacted = redacted[0]
    assert redacted == "[EMAIL_1]"


@pytest.mark.parametrize(
    "text",
    [
        "tel 0301234567 x 4111111111111111-12 password: a@b.de, key = [EMAIL_1]0171 1234567",
        "电话\n4111 1111 1111 111112",  # the first number hides the second
    ],
)
def test_redaction_of_redacted_text_changes_nothing(text: str) -> None:
    assert redact(redact(text)) == redact(text) != text


def test_time_limit_ends_the_work() -> None:
    ticks = iter(range(1000))
    limit = TimeLimit(20, clock=lambda: float(next(ticks)))
    with pytest.raises(GuardTimeoutError):
        Redactor(limit=limit).redact("ann@example.com " * 50)


HOSTILE: list[Callable[[int], str]] = [
    lambda n: "1" * n,
    lambda n: "12 345 " * (n // 7),
    lambda n: "a@" * (n // 2),
    lambda n: "a.b-" * (n // 4),
    lambda n: "password is " * (n // 12),
    lambda n: "-----BEGIN PRIVATE KEY-----" * (n // 27),
    lambda n: "http://a:" * (n // 9),
    lambda n: "a:1:" * (n // 4),
    lambda n: "eyJaaaaaaaa." * (n // 12),
    lambda n: " at dot" * (n // 7),
    lambda n: "1\u200b" * (n // 2),
    lambda n: '"' * n,
    lambda n: "<a &#4%4" * (n // 8),
    lambda n: "4\n1_" * (n // 4),
    lambda n: "811228-9874 " * (n // 12),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_work_grows_with_the_text_and_not_with_its_square(hostile: Callable[[int], str]) -> None:
    def seconds(size: int) -> float:
        text = hostile(size)
        start = time.process_time()
        redact(text)
        return time.process_time() - start

    seconds(100)
    small, large = min(seconds(800) for _ in range(3)), seconds(6400)
    assert large < 32 * small + 0.1
