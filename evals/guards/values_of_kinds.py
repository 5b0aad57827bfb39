"""Generated values of each kind of personal data, as people write them, and harmless look-alikes.

Check digits are computed, phone numbers are valid ones of 40 regions, so that each value must be
found. No value belongs to a known person.
"""

from __future__ import annotations

import base64
import importlib
import ipaddress
import string
import uuid
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

import phonenumbers
from stdnum import numdb
from stdnum.iso7064 import mod_97_10

from aifeature.personal_data import Kind

if TYPE_CHECKING:
    from faker import Faker

_PEM: Final = ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----")
SHARE: Final = 100
"""Values of each kind."""

_LOCALES: Final = (
    "en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL",
    "pt_BR", "sv_SE", "cs_CZ", "tr_TR",
)  # fmt: skip
_PHONE_REGIONS: Final = (
    "US", "CA", "GB", "IE", "DE", "AT", "CH", "FR", "BE", "NL", "ES", "PT", "IT", "SE", "NO",
    "DK", "FI", "PL", "CZ", "HU", "RO", "GR", "TR", "RU", "UA", "IL", "AE", "EG", "ZA", "IN",
    "CN", "HK", "SG", "JP", "KR", "TW", "AU", "NZ", "BR", "MX", "AR", "CO",
)  # fmt: skip


class Values:
    """Values of each kind from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 (no secret depends on it)
        self._seed = seed
        self._made: dict[int, Faker] = {}

    def _faker(self, number: int = 0) -> Faker:
        """Return the faker of a locale, made at its first use: each takes 0.1 s."""
        from faker import Faker  # noqa: PLC0415 (web processes and tests of other rooms go without)

        place = number % len(_LOCALES)
        if place not in self._made:
            self._made[place] = Faker(_LOCALES[place])
            self._made[place].seed_instance(self._seed + place)
        return self._made[place]

    def of(self, kind: Kind, number: int) -> tuple[str, str]:
        """Return the value with this number, and a word for it or an empty string."""
        make: dict[Kind, Callable[[int], tuple[str, str]]] = {
            Kind.EMAIL: self._email,
            Kind.PHONE: self._phone,
            Kind.CARD: self._card,
            Kind.IBAN: self._iban,
            Kind.NATIONAL_ID: self._national_id,
            Kind.IP_ADDRESS: self._ip,
            Kind.SECRET: self._secret,
        }
        return make[kind](number)

    def digits(self, count: int, first: str = string.digits) -> str:
        return self.random.choice(first) + "".join(self.random.choices(string.digits, k=count - 1))

    def _email(self, number: int) -> tuple[str, str]:
        faker = self._faker(number)
        address = faker.ascii_email() if number % 3 else faker.ascii_company_email()
        name, _, domain = address.partition("@")
        forms = (
            address, address, address, address.title(), address.upper(),
            f"{name}+{self.random.choice(['shop', 'news', 'x1'])}@{domain}",
            f"{name}@mail.{domain}", f"{name}@bücher-{domain}", f"jürgen.{name}@{domain}",
            f"{name}\uff20{domain}", f"{name} (at) {domain.replace('.', ' (dot) ')}",
            f"{name}[at]{domain.replace('.', '[dot]')}",
            f"{name} at {domain.replace('.', ' dot ')}",
            f"{name}@{domain.rpartition('.')[0]}.co.uk", f"{name}_{self.digits(2)}@{domain}",
            f"{name}@例え.jp", f"почта@{name.replace('.', '')}.рф",
        )  # fmt: skip
        return forms[number % len(forms)], ""

    def address(self, number: int) -> str:
        """Return a plain e-mail address."""
        return str(self._faker(number).ascii_email())

    def phone_of(self, number: int) -> phonenumbers.PhoneNumber:
        return self.phone(_PHONE_REGIONS[number % len(_PHONE_REGIONS)])

    def in_fours(self, kind: Kind, number: int) -> str:
        """Return a card of 16 digits or an IBAN, in groups of four."""
        if kind is Kind.IBAN:
            value = "".join(c for c in self._iban(number)[0] if c.isalnum()).upper()
            return _grouped(value, (4,) * 10, " ")
        prefix = ("4", "51", "2221", "6011", "3530", "62")[number % 6]
        body = prefix + self.digits(15 - len(prefix))
        return _grouped(body + _luhn_digit(body), (4, 4, 4, 4), " ")

    def phone(self, region: str) -> phonenumbers.PhoneNumber:
        """Return a random valid number: an example with other last digits."""
        kind = self.random.choice(
            [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]
        )
        example = phonenumbers.example_number_for_type(region, kind)
        example = example or phonenumbers.example_number(region)
        if example is None:
            raise ValueError(f"no example of a number in {region}")
        national = phonenumbers.national_significant_number(example)
        for _ in range(200):
            kept = self.random.choice([2, 3, 4])
            digits = national[:kept] + self.digits(len(national) - kept)
            number = phonenumbers.parse(f"+{example.country_code}{digits}")
            if phonenumbers.is_valid_number(number):
                return number
        return example

    def _phone(self, number: int) -> tuple[str, str]:
        region = _PHONE_REGIONS[number % len(_PHONE_REGIONS)]
        made = self.phone(region)
        style = self.random.randrange(6)
        form = phonenumbers.PhoneNumberFormat
        if style == 0:
            return phonenumbers.format_number(made, form.E164), ""
        if style == 1:
            return phonenumbers.format_number(made, form.INTERNATIONAL), ""
        if style == 2:  # noqa: PLR2004
            return phonenumbers.format_number(made, form.INTERNATIONAL).replace(" ", "\u00a0"), ""
        national = phonenumbers.format_number(made, form.NATIONAL)
        if style == 3:  # noqa: PLR2004
            return national.replace(" ", self.random.choice(["-", " ", "."])), "phone"
        if style == 4:  # noqa: PLR2004
            return "".join(c for c in national if c.isdigit()), "phone"
        shaped = national[0] in "0(" or (region in {"US", "CA"})
        return national, "" if shaped else "phone"

    def _card(self, number: int) -> tuple[str, str]:
        forms = (
            ("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("2700", 16), ("34", 15), ("37", 15),
            ("6011", 16), ("65", 16), ("36", 14), ("305", 14), ("3530", 16), ("62", 16), ("5018",
            12),
            ("6304", 13), ("6759", 19), ("4", 13), ("4", 19), ("2204", 16), ("6521", 16), ("62",
            19),
        )  # fmt: skip
        prefix, length = forms[number % len(forms)]
        body = prefix + self.digits(length - 1 - len(prefix))
        card = body + _luhn_digit(body)
        sizes = {15: (4, 6, 5), 14: (4, 6, 4)}.get(length, (4, 4, 4, 4, 4))
        style = self.random.randrange(6)
        joins = (" ", "-", "\u00a0", ".", " ")
        if style == 5:  # noqa: PLR2004
            weak = length in {12, 13, 14, 19}
            return card, "card" if weak else ""
        return _grouped(card, sizes, joins[style]), ""

    def _iban(self, number: int) -> tuple[str, str]:
        registry = numdb.get("iban").prefixes
        _, country, _, properties, _ = registry[(number * 7) % len(registry)]
        body = ""
        rest = properties["bban"]
        while rest:
            count, _, rest = rest.partition("!")
            letters = {"n": string.digits, "a": string.ascii_uppercase}.get(
                rest[0], string.ascii_uppercase + string.digits
            )
            body += "".join(self.random.choices(letters, k=int(count)))
            rest = rest[1:]
        check = mod_97_10.calc_check_digits(body + country)
        iban = f"{country}{check}{body}"
        style = self.random.randrange(6)
        if style == 0:
            return iban, ""
        if style == 1:
            return iban.lower(), ""
        if style == 2:  # noqa: PLR2004
            return _grouped(iban, (4,) * 10, "\u00a0"), ""
        if style == 3:  # noqa: PLR2004
            return _grouped(iban, (4,) * 10, "-"), ""
        return _grouped(iban, (4,) * 10, " "), ""

    def _national_id(self, number: int) -> tuple[str, str]:
        module, pattern, word = _NATIONAL_IDS[number % len(_NATIONAL_IDS)]
        for _ in range(200_000):
            value = "".join(self._of_pattern(sign) for sign in self._dated(pattern))
            if module == "none":
                return value, word
            try:
                importlib.import_module(f"stdnum.{module}").validate(value)
            except Exception:  # noqa: BLE001, S112 (each failure means another try)
                continue
            return value, word
        raise AssertionError(f"no valid number for {module}")

    def _dated(self, pattern: str) -> str:
        random = self.random
        year = random.randint(1950, 2005)
        return (
            pattern.replace("YYYY", str(year)).replace("YY", f"{year % 100:02d}")
            .replace("MM", f"{random.randint(1, 12):02d}").replace("DD",
            f"{random.randint(1, 28):02d}")
        )  # fmt: skip

    def _of_pattern(self, sign: str) -> str:
        if sign == "#":
            return self.random.choice(string.digits)
        if sign == "%":
            return self.random.choice("123456789")
        if sign == "@":
            return self.random.choice(string.ascii_uppercase)
        return sign

    def _ip(self, number: int) -> tuple[str, str]:
        random = self.random
        if number % 5 < 3:  # noqa: PLR2004
            while True:
                address = ipaddress.IPv4Address(random.getrandbits(32))
                if address.packed[0] not in {0, 127, 255}:
                    return str(address), ""
        groups = [random.getrandbits(16) for _ in range(8)]
        if number % 2:
            groups[0], groups[2:6] = 0x2001, [0] * 4
        made = ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
        return (made.exploded if number % 10 == 3 else made.compressed), ""  # noqa: PLR2004

    def _secret(self, number: int) -> tuple[str, str]:
        mixed = string.ascii_letters + string.digits

        def some(count: int, letters: str = mixed) -> str:
            return "".join(self.random.choices(letters, k=count))

        def part(value: str) -> str:
            return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")

        upper = string.ascii_uppercase + string.digits
        header, body = part('{"alg":"HS256","typ":"JWT"}'), part(f'{{"sub":"{self.digits(10)}"}}')
        known = (
            f"sk-{some(48)}", f"sk-ant-api03-{some(60)}", f"sk-proj-{some(50)}", f"ghp_{some(36)}",
            f"github_pat_{some(22)}_{some(59)}", f"xoxb-{self.digits(12)}-{some(24)}",
            f"AKIA{some(16, upper)}",
            f"AIza{some(35)}", f"glpat-{some(20)}", f"{header}.{body}.{some(43)}",
            f"sk_live_{some(24)}",
            f"hf_{some(34)}", f"npm_{some(36)}",
            "\n".join((_PEM[0], some(64), some(64), _PEM[1])),
        )  # fmt: skip
        words = (
            f"{some(6)}{self.digits(2)}!", f"{self._faker().word()}{self.digits(3)}",
            f"{self._faker().word().title()}-{self.digits(2)}$",
            self._faker().password(length=10),
        )  # fmt: skip
        if number % 2:
            return self.random.choice(known), ""
        value = self.random.choice(words).strip(".,;:!?)]}*\"'`<>\\([{")
        return value, "password"

    def harmless(self, number: int) -> str:
        """Return a value that is no personal data but looks like some."""
        random = self.random
        hexadecimal = "0123456789abcdef"
        date = self._faker().date_between("-20y")

        def price(sign: str) -> str:
            return f"{random.randint(1, 999)}{sign}{self.digits(3)}{sign}{self.digits(3)}"

        def small() -> int:
            return random.randint(1, 9)

        isbn = "978" + self.digits(9)
        isbn += str(-sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(isbn)) % 10)
        makers: tuple[str, ...] = (
            str(uuid.UUID(int=random.getrandbits(128), version=4)),
            "".join(random.choices(hexadecimal, k=40)),
            "".join(random.choices(hexadecimal, k=64)),
            "".join(random.choices(hexadecimal, k=8)),
            f"v{random.randint(0, 20)}.{random.randint(0, 40)}.{random.randint(0, 40)}",
            f"version {small()}.{random.randint(0, 40)}.{small()}.{random.randint(0, 200)}",
            date.strftime("%Y-%m-%d"), date.strftime("%d.%m.%Y"), date.strftime("%d/%m/%y"),
            date.strftime("%Y-%m-%dT%H:%M:%SZ"), date.strftime("%d.%m.%Y 14:35:07"),
            date.strftime("%Y%m%d"),
            f"{price('.')},{self.digits(2)} €", f"${price(',')}.{self.digits(2)}",
            f"{price(' ')} EUR",
            f"{_grouped(isbn, (3, 1, 2, 6, 1), '-')}", isbn,
            f"{random.uniform(-90, 90):.6f}, {random.uniform(-180, 180):.6f}",
            f"{random.randint(0, 23):02d}:{random.randint(0, 59):02d}:{random.randint(0, 59):02d}",
            f"{random.choice('ABCDEF')}{self.digits(3)}-{self.digits(5)}", f"CS-{self.digits(3)}",
            f"MATH{self.digits(4)}",
            f"1Z{''.join(random.choices(string.ascii_uppercase, k=6))}{self.digits(10)}",
            f"JD{self.digits(18, '0')}", f"#{self.digits(8, '123456789')}",
            f"order {self.digits(10, '123456789')}",
            f"order number {self.digits(16, '123456789')}", f"ticket {self.digits(7)}",
            f"invoice 2024-{self.digits(5)}",
            f"{self.digits(3)}-{self.digits(7)}-{self.digits(7)}", f"PO-{self.digits(8)}",
            f"image@{random.randint(2, 3)}x.png",
            f"left-pad@{random.randint(0, 9)}.{random.randint(0, 9)}.{random.randint(0, 9)}",
            f"@{self._faker().user_name()}", "git@github.com:acme/site.git", "std::vector<int>",
            f"00:1A:{random.randint(10, 99)}:3C:4D:5E",
            f"{random.randint(1, 9)}.{random.randint(1, 9)}.{random.randint(1, 9)}",
            f"{small()}0 x {small()}5 x {small()} cm",
            f"[2024-03-0{small()} 10:15:3{small()}] pid={self.digits(5)} took {self.digits(4)} ms",
            f"{random.randint(1, 99)} %", f"{self.digits(5)}",
            f"{random.randint(1000, 1999)}-{random.randint(2000, 2030)}",
            f"17{self.digits(8)}", f"17{self.digits(11)}",
            f"chapter {small()}.{small()}.{small()}.{small()}",
            f"EAN 40{self.digits(11)}", f"{self.digits(5, '123456789')} Berlin",
            "password is wrong", "the token limit is 4096",
            "primary key: order_line_items_id",
            f"{random.randint(1, 12)}/{random.randint(25, 35)}", f"SKU {self.digits(12)}",
            f"RFC {self.digits(4)}",
            f"{self.digits(3)} {self.digits(3)} {self.digits(3)} inhabitants",
        )  # fmt: skip
        return makers[number % len(makers)]


def _luhn_digit(body: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004
    return str(-total % 10)


def _grouped(text: str, sizes: tuple[int, ...], join: str) -> str:
    groups = []
    for size in sizes:
        groups.append(text[:size])
        text = text[size:]
    return join.join([group for group in [*groups, text] if group])


_NATIONAL_IDS: Final[tuple[tuple[str, str, str], ...]] = (
    ("us.ssn", "###-##-####", ""), ("us.ssn", "#########", "SSN"), ("ca.sin", "%## ### ###", "SIN"),
    ("au.tfn", "### ### ###", "TFN"), ("gb.nhs", "### ### ####", "NHS number"), ("none",
    "AB ## ## ## C", ""),
    ("none", "JK######A", ""), ("ie.pps", "#######@", "PPS number"), ("de.idnr", "%# ### ### ###",
    ""),
    ("de.idnr", "%##########", "Steuer-ID"), ("at.vnr", "#### DDMMYY", ""), ("ch.ssn",
    "756.####.####.##", ""),
    ("fr.nir", "1YYMM##########", ""), ("fr.nir", "2 YY MM ## ### ### ##", ""), ("es.dni",
    "########@", ""),
    ("es.dni", "########-@", ""), ("es.nie", "X#######@", ""), ("it.codicefiscale",
    "RSSMRAYYA0%F205@", ""),
    ("pt.nif", "2########", "NIF"), ("nl.bsn", "#########", "BSN"), ("be.nn", "YY.MM.DD-###.##",
    ""),
    ("be.nn", "YYMMDD#####", ""), ("pl.pesel", "YYMMDD#####", ""), ("cz.rc", "YYMMDD/####", ""),
    ("sk.rc", "YYMMDD/####", ""), ("ro.cnp", "1YYMMDD######", ""), ("bg.egn", "YYMMDD####", ""),
    ("gr.amka", "DDMMYY#####", ""), ("hr.oib", "###########", "OIB"), ("si.emso", "DDMM9YY500###",
    ""),
    ("ee.ik", "3YYMMDD####", ""), ("lt.asmens", "4YYMMDD####", ""), ("lv.pvn", "DDMMYY-1####", ""),
    ("fi.hetu", "DDMMYY-###@", ""), ("se.personnummer", "YYMMDD-####", ""), ("se.personnummer",
    "YYYYMMDD-####", ""),
    ("no.fodselsnummer", "DDMMYY#####", ""), ("dk.cpr", "DDMMYY-####", ""), ("is_.kennitala",
    "DDMMYY-###9", ""),
    ("tr.tckimlik", "%##########", ""), ("ru.inn", "############", "ИНН"), ("ua.rntrc",
    "##########", "РНОКПП"),
    ("il.idnr", "#########", "ת.ז."), ("cn.ric", "110105YYYYMMDD####", ""), ("kr.rrn",
    "YYMMDD-1######", ""),
    ("jp.in_", "############", "マイナンバー"), ("in_.aadhaar", "%### #### ####", ""), ("in_.pan",
    "@@@P@####@", ""),
    ("my.nric", "YYMMDD-14-####", ""), ("th.pin", "1-####-#####-##-#", ""), ("id.nik",
    "317101DDMMYY####", "NIK"),
    ("br.cpf", "###.###.###-##", ""), ("br.cpf", "###########", "CPF"), ("mx.curp",
    "BOXWYYMMDDHNERXN0#", ""),
    ("ar.cuit", "20-########-#", ""), ("cl.rut", "##.###.###-#", ""), ("co.nit", "213123432#",
    "cédula"),
    ("ec.ci", "17########", "cédula"), ("za.idnr", "YYMMDD####08#", ""), ("pk.cnic",
    "4####-#######-#", ""),
)  # fmt: skip
"""Modules of stdnum, the form of the number, and the word before it if its form is too common."""
