"""English names of languages by their code of ISO 639-1."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.conf.locale import LANG_INFO

_OTHERS: Final = """
    aa Afar, ab Abkhazian, ae Avestan, ak Akan, am Amharic, an Aragonese, as Assamese, av Avaric,
    ay Aymara, ba Bashkir, bh Bihari, bi Bislama, bm Bambara, bo Tibetan, ce Chechen, ch Chamorro,
    co Corsican, cr Cree, cu Church Slavonic, cv Chuvash, dv Divehi, dz Dzongkha, ee Ewe, ff Fulah,
    fj Fijian, fo Faroese, gn Guarani, gu Gujarati, gv Manx, ha Hausa, ho Hiri Motu, ht Haitian,
    hz Herero, ie Interlingue, ii Sichuan Yi, ik Inupiaq, iu Inuktitut, jv Javanese, kg Kongo,
    ki Kikuyu, kj Kuanyama, kl Greenlandic, kr Kanuri, ks Kashmiri, ku Kurdish, kv Komi, kw Cornish,
    la Latin, lg Ganda, li Limburgish, ln Lingala, lo Lao, lu Luba-Katanga, mg Malagasy,
    mh Marshallese, mi Maori, mt Maltese, na Nauru, nd North Ndebele, ng Ndonga, nr South Ndebele,
    nv Navajo, ny Chichewa, oc Occitan, oj Ojibwa, om Oromo, or Odia, pi Pali, ps Pashto,
    qu Quechua, rm Romansh, rn Rundi, rw Kinyarwanda, sa Sanskrit, sc Sardinian, sd Sindhi,
    se Northern Sami, sg Sango, si Sinhala, sm Samoan, sn Shona, so Somali, ss Swati,
    st Southern Sotho, su Sundanese, ti Tigrinya, tl Tagalog, tn Tswana, to Tonga, ts Tsonga,
    tw Twi, ty Tahitian, ve Venda, vo Volapük, wa Walloon, wo Wolof, xh Xhosa, yi Yiddish,
    yo Yoruba, za Zhuang, zh Chinese, zu Zulu
    """
"""The languages that Django has no name for."""

_NAMES: Final[dict[str, str]] = {
    code: info["name"] for code, info in LANG_INFO.items() if "name" in info
} | {code: name for code, _, name in (each.strip().partition(" ") for each in _OTHERS.split(","))}


def are_codes(values: Collection[Any]) -> bool:
    """Return whether an enumeration lists codes of languages.

    English must be among them: "it" and "hr" may be the names of departments.
    """
    return "en" in values and all(value in _NAMES for value in values)


def name(code: str) -> str:
    """Return the English name of a language, or the code if it has none."""
    return _NAMES.get(code, code)
