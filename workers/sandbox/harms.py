"""Find the kinds of harm in a text by its words, as a cheap moderator does.

English, German, French and Spanish, and the commonest swear words of a few other languages. Words
between quotation marks and words of a sober report do not count.
"""

from __future__ import annotations

import re
from typing import Final

_PERSON = (
    r"(?:you|him|her|them|us|me|people|every(?:one|body)|some(?:one|body)"
    r"|(?:your|his|her|their) \w+|(?:the|a|any|all|these|those) (?:\w+ )?(?:m[ae]n|wom[ae]n"
    r"|child|children|girls?|boys?|guards?|police\w*|teachers?|neighbou?rs?|animals?))"
)
_PEOPLE = (
    r"(?:(?:im)?migrants?|foreigners?|refugees?|muslims?|jews?|christians?|gays?|lesbians?|women"
    r"|blacks?|gyps(?:y|ies)|disabled|africans?|asians?|arabs?"
    r"|ausländer\w*|flüchtlinge\w*|muslime\w*|juden|frauen|schwule\w*|behinderte\w*|zigeuner\w*"
    r"|immigrés?|étrangers|réfugiés|musulmans|juifs|femmes|roms|noirs|homosexuels|handicapés"
    r"|inmigrantes|extranjeros|refugiados|musulmanes|judíos|mujeres|gitanos|negros|homosexuales)"
)
_SCORN = (
    r"(?:vermin|parasites?|sub-?humans?|inferior\w*|scum|filth\w*|stupid|vile|animals|rats|thieves"
    r"|diseased?|exterminated?|not belong|n't belong|thrown out|go home"
    r"|raus|untermensch\w*|ungeziefer|minderwertig\w*|abschaum|dumm|krank|pervers|pack|dreck"
    r"|vermine|sous-hommes|inférieure?s?|voleurs|stupides?|dehors|sales"
    r"|alimañas|subhuman\w+|inferior\w*|basura|ladrones|ratas|animales|fuera|tont[ao]s)"
)

_SIGNS: Final = {
    "self-harm suicide": r"suicid\w*|self.harm|(?:kill|hang|cut|hurt|starve)(?:ing)? (?:my|your)"
    r" ?self|(?:end|ending|take|taking) (?:my|your) (?:own )?life|better off dead"
    r"|(?<!ich )bring dich(?: \w+)? um|bringe? mich um|ritz(?:en|e dich)|das leben nehmen"
    r"|(?:te|me|vous) suicider|suicide[ -]toi|tue[ -]toi"
    r"|mátate|suicíd\w+|quítate la vida|quitarme la vida",
    "violence threat": r"(?:kill|murder|stab|shoot|strangle|behead|beat up|hang|burn|smash"
    rf"|hunt down|slaughter|attack) {_PERSON}"
    r"|(?:i|we)(?:'ll| will) (?:find|get|hurt|destroy|break|smash|kill|stab) (?:you|your)"
    r"|you(?:'ll| will) die"
    r"|(?:bring|mach|stech|schlag|prügel)e? (?:dich|euch|ihn|sie|alle)(?: \w+){0,2}"
    r" (?:um|fertig|ab|tot|zusammen)|(?:töte|erschieße|ersteche) (?:dich|euch|ihn|sie|alle)"
    r"|(?:te|vous|les) tuer(?:ai)?|(?:tuez|égorgez|poignardez)(?:[ -]\w+)?"
    r"|(?:te|os|los|lo|la) (?:voy|vamos) a (?:matar|romper|quemar|apuñalar)|te mat(?:o|aré)"
    r"|mátal\w+",
    "sexual": r"porn\w*|nudes|horny|erotic\w*|moan(?:s|ed|ing)?|orgasm\w*|sexy|blow ?job"
    r"|naked (?:girls?|pictures?|photos?)|nacktfotos?|nacktbild\w*|stöhn\w*|geile?r?|erotik\w*"
    r"|photos? (?:de toi )?nue?|gémi\w*|érotique\w*|(?:lui|me) faire l'amour"
    r"|fotos? (?:tuyas? )?(?:desnud[ao]|sin ropa)|desnud(?:o|ó|arte)|gim\w+|erótic\w+"
    r"|foto nua|nuda",
    "hate": rf"{_PEOPLE}\b[^.!?\n]{{0,80}}\b{_SCORN}|{_SCORN}\b[^.!?\n]{{0,40}}\b{_PEOPLE}"
    r"|subhumans?|inferior race|race inférieure|raza inferior|untermensch\w*|sous-hommes"
    r"|go back to your country",
    "illegal advice crime": r"launder(?:ing)? (?:\w+ )?money|counterfeit\w*|smuggl(?:e|ing)"
    r"|hack into|pick (?:a|the) lock|(?:to|and) (?:steal|cheat|rob|forge|shoplift)"
    r"|(?:make|cook|sell|buy)(?:ing)? (?:meth|drugs|cocaine|heroin|explosives|a bomb)"
    r"|fake (?:passport|id|papers)|(?:zu|um \w+) (?:stehlen|klauen|fälschen|betrügen|knacken)"
    r"|geld waschen|drogen (?:kaufen|verkaufen)"
    r"|faux papiers|(?:pour|de) (?:voler|frauder|falsifier|blanchir)|vendre de la drogue"
    r"|(?:para|a) (?:robar|falsificar|blanquear|estafar|hackear)|vender droga",
    "profanity insult": r"(?:mother)?f[u*@]ck\w*|sh[i1*]t\w*|b[i1*]tch\w*|assholes?|arseholes?"
    r"|bastards?|cunts?|crap|piss off|damn|bloody hell|(?:ver)?(?:scheiß|scheiss)\w*|arschl\w+"
    r"|wichser\w*|fotze\w*|hurens\w+|fresse|verdammt\w*|merde\w*|putain|conn(?:ard|asse)s?"
    r"|salop\w*|salauds?|gueule|enculé\w*|mierda|joder|gilipollas|cabr[oó]n\w*|put[ao]s?|coño"
    r"|cojones|cazzo|stronz[aoie]|vaffanculo|caralho|porra|klootzak|godverdomme|kurw\w+"
    r"|siktir\w*",
}
"""By kind, the most serious first."""

_FOUND = {
    kind: re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE) for kind, words in _SIGNS.items()
}
_QUOTED = re.compile(r'"[^"\n]{1,300}"|“[^“”\n]{1,300}”|„[^„“”\n]{1,300}[“”]|«[^«»\n]{1,300}»')
_HELP = re.compile(
    r"\b(?:crisis|help-?lines?|hot-?lines?|emergency|counsell?ors?|psychologists?|therap\w+|ambulance"
    r"|treatment|telefonseelsorge|notruf|therapie|ligne d'écoute|urgences?|tratamiento|terapia"
    r"|teléfono de (?:ayuda|la esperanza))\b",
    re.IGNORECASE,
)
_SOBER = re.compile(
    r"\b(?:sentenced|convicted|arrested|historians?|propaganda|genocide|protect yourself"
    r"|beware|warning|verurteilt|festgenommen|warnung|condamnée?s?|arrêtée?s?"
    r"|condenad[ao]s?|detenid[ao]s?|aviso)\b",
    re.IGNORECASE,
)


def find(text: str) -> list[str]:
    """Return the kinds of harm that a text has signs of, the most serious first."""
    own = _QUOTED.sub(" ", text)
    if 2 * len(own) < len(text):  # a text that is a quotation as a whole
        own = text
    found = [kind for kind, signs in _FOUND.items() if signs.search(own)]
    if "self-harm suicide" in found and _HELP.search(own):
        found.remove("self-harm suicide")
    if _SOBER.search(own):
        return [kind for kind in found if kind in ("self-harm suicide", "sexual")]
    return found
