"""Passwords, keys and tokens: by their known prefix, by the word before them, or in a URL."""

# ruff: noqa: RUF001 (words of many languages)

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from aifeature.personal_data.kinds import Kind, Match
from aifeature.personal_data.views import View

_TOKEN: Final = re.compile(r"[A-Za-z0-9_\-]{12,}+")
_PREFIXED: Final = re.compile(
    r"sk-(?:ant-|proj-|or-|svcacct-)?[A-Za-z0-9_-]{16,}|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}"
    r"|whsec_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|(?:gldt|glrt|glcbt|glptt)-[A-Za-z0-9_-]{16,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|AIza[A-Za-z0-9_-]{30,}|ya29[A-Za-z0-9_-]{10,}|GOCSPX-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}"
    r"|pypi-[A-Za-z0-9_-]{30,}|dop_v1_[a-f0-9]{40,}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{20,}|sq0(?:atp|csp)-[A-Za-z0-9_-]{20,}"
    r"|SG(?=\.[A-Za-z0-9_-]{16})|AC[a-f0-9]{32}|SK[a-f0-9]{32}|key-[a-f0-9]{32}|tfp_[A-Za-z0-9]{20,}|lin_api_[A-Za-z0-9]{20,}"
    r"|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|nvapi-[A-Za-z0-9_-]{20,}|pplx-[A-Za-z0-9]{20,}"
    r"|sntrys_[A-Za-z0-9_-]{20,}|figd_[A-Za-z0-9_-]{20,}|EAACEdEose0cBA[A-Za-z0-9]+|dckr_pat_[A-Za-z0-9_-]{20,}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{50,}|PMAK-[A-Za-z0-9-]{30,}|ATATT3[A-Za-z0-9_=-]{30,}"
)
_WITH_DOTS: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]+){0,3}")
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[^-]|-(?!----)){0,20000}+-----END [A-Z0-9 ]{0,40}-----|(?:(?:\s"
    r"|\\[nr]){0,4}[A-Za-z0-9+/=]{16,}+)*)"
)
_URL_CREDENTIALS: Final = re.compile(
    r"(?<=://)[^\s/@:\"'<>\0\1]{0,100}+:[^\s/@\"'<>\0]{1,200}+(?=@)"
)
_URL_PARAMETER: Final = re.compile(
    r"[?&;](?:access_token|refresh_token|id_token|auth_token|auth|api_?key|apikey|key|token|secret"
    r"|client_secret|password|passwd|pwd|pass|sig|signature|x-amz-signature|x-amz-credential|sas)="
    r"(?P<value>[^\s&#\"'<>\\\0]{6,500})"
)
_BEARER: Final = re.compile(r"(?:bearer|basic|token)\s+(?P<value>[a-z0-9._~+/=-]{12,2000}+)")

_IS: Final = (
    r"(?:\s{0,3}(?:[:=\uff1a]|:=|=>|->|-\s)\s{0,3}"
    r"|\s{1,3}(?:is|was|ist|lautet|war|est|es|era|è|é|jest|to|er|är|on|is:|:|это|-)\s{0,2}:?\s{1,3}|(?:は|是|为|為|：)\s{0,2})"
)
_FOR: Final = (
    r"(?:\s(?:for|to|of|on|at|für|fuer|zu|zum|zur|vom|von|beim|pour|de|du|para|del|per|voor|van|do|dla"
    r"|till|för|til|для|от)(?:\s[^\s:=.,;!?\"'<>\0\1]{1,20}){1,4}?)?"
)
"""Between a word for passwords and its value: what the password is for."""
_WORDS: Final = (
    r"(?P<word>(?<![^\W_])(?:pass(?:word|wort|code|phrase|wd|ord)s?|passwd|pwd|pw(?=\s?[:=]|\s)|pass(?=\s?[:=])|kennwort|zugangscode"
    r"|mots?\s+de\s+passe|mdp|contrase(?:ñ|n)as?|clave|senha|palavra-passe|parola|password|wachtwoord"
    r"|has(?:ł|l)o|lösenord|losenord|passord|adgangskode|kodeord|salasana|heslo|jelsz(?:ó|o)|parol(?:ă|a)|lozinka"
    r"|geslo|парол(?:ь|я|а)|şifre(?:m|niz)?|sifre(?:m)?|mật\s+khẩu|kata\s+sandi|κωδικ(?:ός|ό))"
    r"|密码|密碼|口令|パスワード|暗証番号|비밀번호|암호|كلمة\s+(?:المرور|السر)|סיסמ(?:ה|א)|पासवर्ड|รหัสผ่าน)"
)
_PASSWORD: Final = re.compile(
    _WORDS
    + _FOR
    + r"[\"'\\]{0,3}"
    + _IS
    + r"(?P<open>[\"'`*\\]{0,3})(?P<value>[^\s\"'`<>\0\1]{3,200})"
)
_PASSWORD_NEXT: Final = re.compile(
    rf"{_WORDS}\s{{1,2}}(?P<value>(?=[^\s0-9]*[0-9])[^\s\"'`<>\0\1]{{6,64}})"
)
_LOGIN: Final = re.compile(
    r"(?<![^\W_])(?:login|user(?:name)?|benutzer(?:name)?|account|konto)[ :=]{1,3}"
    r"(?!(?:and|or|und|oder|et|ou|y|o|e|with|mit|the|my|your|is)\s)[^\s\0\1]{1,64}[ ,;/]{1,3}"
    rf"{_WORDS}[ :=]{{1,3}}"
    r"(?P<value>[^\s\"'`<>\0\1]{3,64})(?=\s{0,2}(?:$|[\n,;|]))"
)
"""A name and a password, as in `login jane pw x`, at the end of a clause."""
_IN_A_TAG: Final = re.compile(
    r"<(?P<word>[a-z0-9_:.-]{0,30}(?:pass(?:word|wort|wd|phrase)?|pwd|secret|token|api-?_?key|kennwort))"
    r"(?:\s[^<>]{0,200})?>\s{0,8}(?P<value>[^\s<>\0\1][^<>\n\0\1]{1,200})</"
)
_IN_A_ROW: Final = re.compile(
    rf"\|[ \t*`]{{0,4}}{_WORDS}[ \t*`]{{0,4}}\|"
    r"[ \t`]{0,4}(?P<value>[^\s|\0\1]{3,200}?)[ \t`]{0,4}\|[ \t]{0,4}"
    r"(?:$|\n(?!\s?\|\s?:?-))"
)
"""A row of two cells which is no head of a table."""
_COOKIES: Final = re.compile(r"(?:set-)?cookie2?[\"']?\s{0,2}[:=]\s{0,2}(?P<value>[^\n\0]{4,4000})")
_COOKIE: Final = re.compile(r"[^\s=;,\"']{1,60}=(?P<value>[^\s;,\"'<>\0\1]{6,1000})")
_SESSION: Final = re.compile(
    r"(?<![^\W_])(?:[a-z]{0,10}sess(?:ion)?_?-?id|sid|connect\.sid|[cx]srf-?_?token)=(?P<value>[a-z0-9%._~+/:-]{8,500})"
)
_AWS_SECRET: Final = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_AWS_NEAR: Final = 200
"""Characters between the id of a key and its secret."""
_ALGORITHM: Final = re.compile(
    r"(?:sha|md|rfc|pbkdf|argon|oauth|base|utf|win|v|iso|tls|sha-|utf-|web)\d|.*\d[.,]\d"
)
_PIN: Final = re.compile(
    r"(?P<word>(?<![^\W_])(?:pin|cvv2?|cvc2?|csc|m?tan(?=.{0,20}[0-9]{6})|otp|kartenprüfnummer|passcode"
    r"|verification\s+code)(?:[- ]?(?:code|number|nummer|nr))?)"
    r"[\"'\\]{0,3}(?:\s{0,2}[:=#\uff1a]\s{0,2}|\s{1,2}(?:is|ist|est|es|è|lautet|of|jest)\s{1,2}:?|\s)[\"'\\]{0,3}"
    r"(?P<value>[0-9]{3,8})(?![0-9a-z]|[.,-][0-9])"
)
_KEY: Final = re.compile(
    r"(?P<word>(?<![^\W_])(?:[a-z0-9]{1,20}[_-]){0,3}(?:api[\s_-]?keys?|apikey|api[\s_-]?token|secret(?:[\s_-]?key)?s?|secretkey"
    r"|access[\s_-]?key(?:[\s_-]?id)?|access[\s_-]?token|accesstoken|refresh[\s_-]?token|auth[\s_-]?token|authtoken|client[\s_-]?secret"
    r"|private[\s_-]?key|encryption[\s_-]?key|signing[\s_-]?key|account[\s_-]?key|license[\s_-]?key|shared[\s_-]?key|master[\s_-]?key"
    r"|service[\s_-]?key|webhook[\s_-]?secret|session[\s_-]?token|tokens?|credentials?|key|schlüssel|clé(?:\s+api)?|clave|chave|chiave"
    r"|klucz|sleutel|token-?schlüssel|ключ)|密钥|密鑰|キー|키)"
    r"[\"'\\]{0,3}" + _IS + r"(?P<open>[\"'`\\]{0,3})(?P<value>[^\s\"'`<>\\,;\0\1]{8,500})"
)
_STEMS: Final = (
    "pass", "pwd", "pw", "kennwort", "zugangscode", "mdp", "contrase", "clave", "senha", "palavra",
    "parol",
    "wachtwoord", "hasł", "haslo", "lösenord", "losenord", "adgangskode", "kodeord", "salasana",
    "heslo",
    "jelsz", "lozinka", "geslo", "парол", "şifre", "sifre", "mật", "sandi", "κωδικ", "密码",
    "密碼", "口令",
    "パスワード", "暗証", "비밀번호", "암호", "كلمة", "סיסמ", "पासवर्ड", "รหัสผ่าน",
)  # fmt: skip
_KEY_STEMS: Final = (
    "key", "token", "secret", "credential", "schlüssel", "clé", "clave", "chave", "chiave",
    "klucz", "sleutel", "ключ", "密钥", "密鑰", "キー", "키",
)  # fmt: skip
_PIN_STEMS: Final = ("pin", "cvv", "cvc", "csc", "tan", "otp", "nummer", "code")
_NO_SECRET: Final = frozenset(
    [
        "required", "optional", "pass", "passed", "failed", "form", "account", "user", "username",
        "none", "null", "nil", "true", "false", "undefined", "empty", "missing", "incorrect",
        "wrong", "invalid", "expired", "forgotten", "forgot", "reset", "change", "changed",
        "hidden", "redacted", "masked", "secret", "password", "passwort", "string", "str", "text",
        "varchar", "char", "value", "your", "the", "must", "should", "please", "bitte", "enter",
        "here", "yes", "no", "not", "never", "unknown", "n/a", "na", "tbd", "todo", "xxx", "xxxx",
        "***", "****", "******", "********", "...", "field", "input", "hash", "hashed",
        "encrypted", "manager", "policy", "strength", "length", "weak", "strong", "protected",
        "needed", "same", "correct", "safe", "obligatoire", "erforderlich", "falsch", "vergessen",
        "geändert", "incorrecta", "olvidada", "requerida", "oublié", "os.environ", "process.env",
        "getenv", "env",
    ]
)  # fmt: skip
_TRAILING: Final = ".,;:!?)]}\u3002\uff0c\uff1b\uff01\uff1f\u3001*"
_CODE: Final = re.compile(
    r"[a-z_][a-z_.]{2,}[(\[{]|[a-z]\w*(?:\.\w+)*\.[a-z]+_\w+"
    r"|(?:self|cls|this|os|settings|config|process|request|options|params|props|env)[.\[]"
    r"|[$%][{(]|\{\{|\[\[|<|https?://|(?-i:\$[A-Z][A-Z0-9_]+$)",
    re.IGNORECASE,
)
_ACTION: Final = re.compile(
    r"(?:change|reset|forgot|forgotten|no|has|set|confirm|check|verify|get|is|use|usable|show|hide"
    r"|with|without|update|make|generate|hash)[_-]$"
)
"""Before a word for passwords: a name of something that is done with one."""
_BARE_KEYS: Final = frozenset(
    {"key", "clave", "chave", "chiave", "klucz", "sleutel", "schlüssel", "ключ", "キー", "키",
     "clé"}
)  # fmt: skip
"""Words that are seldom about a secret."""
_LONGEST_PHRASE: Final = 40
"""The most characters of a password of several words, in quotation marks."""
_LONGEST_PIN_CODE: Final = 4
"""A longer `PIN code` is a postal code of India."""
_WITHOUT_SPACES: Final = re.compile("[\u2e80-\uffff]")
_LEAST_ENTROPY: Final = 3.0


def find(view: View) -> Iterator[Match]:
    """Yield the secrets of a view."""
    text, lower = view.text, view.lower
    yield from _tokens(text)
    if "PRIVATE KEY" in text:
        yield from (Match(*pem.span(), Kind.SECRET, pem[0]) for pem in _PEM.finditer(text))
    yield from _in_urls(text, lower)
    if "bearer" in lower or "basic " in lower or "token " in lower:
        for found in _BEARER.finditer(lower):
            value = found["value"].strip(".=")
            if re.search(r"[0-9]", value) and (_entropy(value) >= _LEAST_ENTROPY):
                yield _value(text, found, trailing=".,")
    yield from _after_words(text, lower)
    if "AKIA" in text or "ASIA" in text:
        yield from _beside_key_ids(text)
    if "=" in text and ("cookie" in lower or "id=" in lower or "token=" in lower):
        yield from _cookies(text, lower)


def _beside_key_ids(text: str) -> Iterator[Match]:
    """Yield the secrets of AWS, which have no prefix, near the id of their key."""
    for key in re.finditer("A(?:KI|SI)A[A-Z0-9]{16}", text):
        low, high = max(0, key.start() - _AWS_NEAR), key.end() + _AWS_NEAR
        for found in _AWS_SECRET.finditer(text, low, high):
            if _classes(found[0].replace("/", "").replace("+", "")) == 3:  # noqa: PLR2004
                yield Match(*found.span(), Kind.SECRET, found[0])


def _cookies(text: str, lower: str) -> Iterator[Match]:
    for found in _SESSION.finditer(lower):
        if re.search("[0-9]", found["value"]):
            yield _value(text, found, trailing=".")
    for header in _COOKIES.finditer(lower):
        for found in _COOKIE.finditer(lower, *header.span("value")):
            if re.search("[0-9]", found["value"]) and _entropy(found["value"]) >= _LEAST_ENTROPY:
                yield _value(text, found, trailing=".")


def _in_urls(text: str, lower: str) -> Iterator[Match]:
    if "://" in text and "@" in text:
        for found in _URL_CREDENTIALS.finditer(text):
            if found[0][0] not in "[{$<%":  # a placeholder of a template
                yield Match(*found.span(), Kind.SECRET, found[0])
    if "=" in text and ("?" in text or "&" in text):
        for found in _URL_PARAMETER.finditer(lower):
            value = found["value"].strip("[]{}<>$%.,;:!?)")
            if value not in _NO_SECRET and found["value"] != f"{value}]":
                yield _value(text, found, trailing=".,;:!?)")


def _value(text: str, found: re.Match[str], trailing: str = "") -> Match:
    start, end = found.span("value")
    value = text[start:end]
    if value[0].isascii() and (stop := _WITHOUT_SPACES.search(value)):
        value = value[: stop.start()]  # the sentence goes on without a space
    value = value.rstrip(trailing)
    return Match(start, start + len(value), Kind.SECRET, value)


def _quoted(text: str, found: re.Match[str]) -> Match:
    """Return the words up to the closing quotation mark of the line, else the first word."""
    start, end = found.span("value")
    close = text.find(found["open"].strip("\\*")[:1], start, start + 100)
    if close > end and "\n" not in text[end:close] and "\0" not in text[end:close]:
        escapes = len(text[start:close]) - len(text[start:close].rstrip("\\"))
        return Match(start, close - escapes, Kind.SECRET, text[start : close - escapes])
    return _value(text, found, trailing=_TRAILING)


def _tokens(text: str) -> Iterator[Match]:
    """Yield tokens with a known prefix."""
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        known = (
            _PREFIXED.match(text, start, end + 20)
            if text[end : end + 1] == "."
            else _PREFIXED.match(text, start, end)
        )
        if known is None and text.startswith("eyJ", start):
            known = _JWT.match(text, start)
        if known is not None:
            stop = known.end()
            if known[0].startswith(("SG", "ya29")) and (whole := _WITH_DOTS.match(text, start)):
                stop = whole.end()
            yield Match(start, stop, Kind.SECRET, text[start:stop])


def _after_words(text: str, lower: str) -> Iterator[Match]:
    if any(stem in lower for stem in _STEMS):
        yield from _passwords(text, lower)
    if any(stem in lower for stem in _KEY_STEMS):
        for found in _KEY.finditer(lower):
            match = _value(text, found, trailing=_TRAILING)
            if _is_key(match.value, found["word"]):
                yield match
    if any(stem in lower for stem in _PIN_STEMS):
        for found in _PIN.finditer(lower):
            postal = re.match("pin ?code", found["word"]) is not None
            if not postal or len(found["value"]) <= _LONGEST_PIN_CODE:
                yield _value(text, found)


def _passwords(text: str, lower: str) -> Iterator[Match]:
    for found in _PASSWORD.finditer(lower):
        quoted = any(sign in found["open"] for sign in "\"'`")
        match = _quoted(text, found) if quoted else _value(text, found, trailing=_TRAILING)
        rest = lower[match.end : match.end + 3]
        if _ACTION.search(lower[max(0, found.start() - 12) : found.start()]):
            continue
        if _is_password(match.value, found[0], quoted=quoted, rest=rest):
            yield _with_marks(text, match)
    for found in _PASSWORD_NEXT.finditer(lower):
        match = _value(text, found, trailing=_TRAILING)
        if re.search(r"[^\W\d]", match.value) and not _ALGORITHM.match(match.value.lower()):
            yield _with_marks(text, match)
    forms = (
        (_LOGIN, "login" in lower or "user" in lower or "konto" in lower),
        (_IN_A_ROW, "|" in text),
    )
    for form, possible in (*forms, (_IN_A_TAG, "</" in text)):
        for found in form.finditer(lower) if possible else ():
            match = _value(text, found, trailing=_TRAILING if form is _LOGIN else "")
            if match.value.strip().lower() not in _NO_SECRET and not _is_code(match.value):
                yield _with_marks(text, match)


def _with_marks(text: str, match: Match) -> Match:
    """Return a password with the exclamation marks after it: they are rather its own."""
    end = match.end
    while text[end : end + 1] == "!" and end < match.end + 3:
        end += 1
    return match._replace(end=end, value=text[match.start : end])


def _classes(value: str) -> int:
    return sum(
        (
            any(c.islower() for c in value),
            any(c.isupper() for c in value),
            any(c.isdigit() for c in value),
            any(not c.isalnum() for c in value.strip(".,-_/'")),
        )
    )


def _is_code(value: str) -> bool:
    """Return whether a value is an expression of a program or a placeholder of a template."""
    return bool(_CODE.match(value)) or value[0] + value[-1] in {"()", "{}", "[]", "<>", "%%", "$$"}


def _is_password(value: str, sentence: str, *, quoted: bool, rest: str) -> bool:
    """Return whether a value after a word for passwords is one, and not the next word of prose."""
    if len(value) < 3 or value.lower() in _NO_SECRET or set(value) <= set("*•.x_-X"):  # noqa: PLR2004
        return False
    if _is_code(value) or re.fullmatch(r"[0-9]{1,2}\.[0-9]{1,3}", value):
        return False
    if any(c.isspace() for c in value):
        return len(value) <= _LONGEST_PHRASE and not any(c in ":;,." for c in value)
    mixed = any(c.isdigit() for c in value) or _classes(value) > 2  # noqa: PLR2004
    if (
        quoted
        or mixed
        or (_classes(value) > 1 and not value.istitle() and any(c in "!@#$%^&*+=" for c in value))
    ):
        return True
    signed = any(sign in sentence for sign in ":=\uff1a")
    # one word alone after a colon, at the end of its clause
    return signed and (not rest.strip() or rest[0] in ".,;\n)" or not value.isascii())


def _entropy(value: str) -> float:
    """Return the bits per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _is_key(value: str, word: str) -> bool:
    """Return whether a value after a word for keys is random, and not a name."""
    digits = sum(c.isdigit() for c in value)
    if _is_code(value) or not digits or not any(c.isalpha() for c in value):
        return False
    if word in _BARE_KEYS:
        return len(value) >= 20 and digits >= 3 and _entropy(value) >= 3.3  # noqa: PLR2004
    return _entropy(value) >= 2.5  # noqa: PLR2004
