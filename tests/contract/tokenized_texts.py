"""Texts whose tokens were counted with real tokenizers."""

from __future__ import annotations

TOKENIZED: dict[str, tuple[str, int, tuple[int, int, int]]] = {
    "words": (
        "The refund is paid within 30 days to the card that was charged. ",
        20,
        (281, 321, 321),
    ),
    "one letter": ("x", 1, (1, 1, 1)),
    "digits": ("0123456789 ", 200, (400, 2200, 2201)),
    "code": ("def f(x):\n\treturn {'a': [x ** 2, ~x]}  # ←\n", 40, (1000, 840, 1000)),
    "Chinese": ("课程平台于三月三日将账单迁移到新的供应商。", 40, (840, 960, 921)),
    "Arabic": (
        "انتقلت منصة الدورات إلى مزود فوترة جديد في الثالث من مارس. ",
        20,
        (1020, 341, 1001),
    ),
    "Hindi": (
        "मंच ने तीन मार्च को बिलिंग को नए प्रदाता पर स्थानांतरित किया। ",
        20,
        (1320, 421, 1241),
    ),
    "Thai": ("แพลตฟอร์มการเรียนรู้ออนไลน์", 20, (960, 300, 541)),
    "Amharic": ("የኮርስ መድረክ ", 40, (1000, 921, 801)),
    "emoji": ("👩‍👩‍👧‍👦🏳️‍🌈", 100, (2200, 3100, 2901)),
    "control characters": ("\x7f\x01", 200, (400, 400, 401)),
    "Linear B": ("\U00010000", 100, (300, 400, 401)),
    "private use": ("\ue000", 100, (300, 300, 301)),
    "U+FDFA": ("\ufdfa", 100, (1500, 200, 301)),
    "U+0F79": ("\u0f79", 100, (900, 200, 301)),
    "U+2A0C": ("\u2a0c", 100, (800, 300, 301)),
    "U+1D164": ("\U0001d164", 100, (900, 400, 401)),
    "U+334A": ("\u334a", 100, (700, 300, 301)),
}
"""A text, the number of its repetitions, and its tokens with three tokenizers.

The tokenizers are the one in anthropic 0.34 (BPE over the bytes of NFKC), Tekken of mistral-common
(BPE over bytes) and the SentencePiece model of Mistral 7B (with byte fallback). The last five texts
are the worst of all assigned characters.
"""


def text_of(name: str) -> str:
    text, times, _ = TOKENIZED[name]
    return text * times
