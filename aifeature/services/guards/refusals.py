"""Recognises answers that are nothing but a refusal to help."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
from typing import Final

MAX_REFUSAL: Final = 300
"""Most characters of an answer that is only a refusal."""

_QUOTES: Final = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"))

_OF_SOURCE: Final = re.compile(
    r"handbook|handbuch|manuel|manual|handboek|podręcznik|руководств|справочник|手册|マニュアル|매뉴얼"
    r"|document|dokument|документ|文档|文書|資料|문서|\bsources?\b|quelle|fuente|fonte|\bbron"
    r"|according|laut |based on|provided text|knowledge base|wissensdatenbank",
    re.IGNORECASE,
)
"""Words of an answer that the source of the feature does not cover the question."""

_OPENINGS: Final = (
    r"(?:i'?m |i am |we'?re |we are |very |so |es |me |mi |het |ich |je |lo |con |mit |ik )?"
    r"(?:sorry|apolog|my apolog|unfortunately|regret|afraid|as an?\b|thank|understand|no\b"
    r"|tut mir|entschuldig|verzeih|leider|bedau|als ki|suis |désolé|malheureus|excus|pardon|en tant"
    r"|siento|perd|lament|como |dispiace|scus|purtroppo|in quanto|spijt|helaas|desculp|infeliz"
    r"|sinto|przykro|przeprasz|niestety|omlouv|lituj|bohužel|tyvärr|förlåt|ursäkt|beklag|undskyld"
    r"|desværre|dessverre|unnskyld|üzgün|maalesef|извин|прост|к сожалению|вибач|на жаль"
    r"|很?抱歉|对不起|對不起|不好意思|申し訳|すみません|ごめん|죄송|미안|عذر|آسف|للأسف)"
)
"""Apologies and reasons before a refusal."""

_BUT: Final = "(?:but |aber |mais |pero |ma |maar |mas |ale |но |але |men |однако )?"

_CORES: Final = {
    "en": (
        r"(?:i|we)(?:'m| am|'re| are)? (?:(?:really|simply|just) )?"
        r"(?:can't|cannot|can not|(?:won't|will not)(?: be able to)?|(?:un|not )able to"
        r"|(?:do not|don't) feel comfortable|not comfortable"
        r"|not (?:allowed|permitted|going) to|(?:must |have to )?(?:decline|refuse)(?: to)?) "
        r"(?:(?:help|assist|comply|engage|continue|proceed|participate|fulfill?|do (?:that|this)"
        r"|process th|(?:answer|discuss|respond to|support|share) (?:that|this)"
        r"|(?:provide|write|create|generate|give|produce|offer)\b[^.]{0,60}\b"
        r"(?:such|instructions|content|advice|guidance|(?:that|this)(?=[.!,]|\Z)))\b"
        r"|helping\b|(?:this|that|your) request\b)"
        r"|(?:that|this)(?:'s| is) not something (?:that )?(?:i|we) can (?:help|assist|do|discuss)"
        r"|my (?:guidelines|policy|policies|rules|instructions) (?:do not|don't|forbid)"
    ),
    "de": (
        r"(?:(?:\w+ ){0,4}(?:kann|darf|werde|möchte) ich|ich (?:kann|darf|werde|möchte))"
        r" (?:\w+ ){0,5}(?:nicht|keine[nr]?) (?:\w+ ){0,4}(?:helfen|weiterhelfen|behilflich"
        r"|unterstützen|beantworten|erfüllen|tun|nachkommen|bearbeiten|erstellen|schreiben"
        r"|bereitstellen|weitergeben|geben)\b"
        r"|ich bin nicht (?:in der lage|befugt|berechtigt),? (?:\w+ ){0,4}"
        r"zu (?:helfen|beantworten|tun)"
        r"|ich (?:muss|möchte) (?:diese |das |ihre )\w* ?ablehnen"
    ),
    "fr": (
        r"(?:je|nous) (?:ne |n')(?:peux|puis|suis|pouvons|vais)(?: malheureusement)? pas "
        r"(?:(?:en mesure|capable|autorisée?) (?:de |d'))?(?:\w+ |t'|m'|l'){0,3}"
        r"(?:aider|assister|donner suite|satisfaire|accéder|participer|créer|rédiger|écrire"
        r"|(?:répondre à|traiter|fournir) (?:ce|cette|votre|de|d')|faire (?:cela|ça))"
        r"|je (?:dois )?refuser?(?: de| cette| ce)"
    ),
    "es": (
        r"(?:(?:yo )?no|lamento no) (?:puedo|podemos|poder|me es posible|estoy autorizad[oa] a)"
        r"(?: \w+){0,2}? "
        r"(?:ayudar|asistir|cumplir|atender|colaborar|continuar|crear|escribir|hacer (?:eso|esto)"
        r"|(?:responder a|proporcionar|procesar) (?:es|su|tu|ningun))"
    ),
    "pt": (
        r"(?:eu )?não (?:posso|podemos|consigo|estou autorizad[oa] a)(?: \w+){0,2}? "
        r"(?:ajud|auxiliar|atender|cumprir|colaborar|continuar|criar|escrever|fazer is"
        r"|(?:responder a|fornecer|processar) (?:es|is|su))"
    ),
    "it": (
        r"(?:io )?non (?:posso|possiamo|sono in grado di|mi è possibile|sono autorizzat[oa] a)"
        r"(?: \w+){0,2}? (?:aiutar|assister|soddisfare|farlo|procedere|creare|scrivere"
        r"|(?:rispondere a|fornire|elaborare) (?:quest|tal|la tua|la sua))"
    ),
    "nl": (
        r"(?:(?:\w+ ){0,4}(?:kan|mag|wil) ik|ik (?:kan|mag|wil)) (?:\w+ ){0,5}(?:niet|geen) "
        r"(?:\w+ ){0,4}(?:helpen|voldoen|beantwoorden|doen|assisteren|meewerken|verwerken|uitvoeren"
        r"|schrijven|geven)\b"
    ),
    "pl": (
        r"nie (?:mogę|możemy|jestem w stanie|wolno mi)(?: \w+){0,3}? "
        r"(?:pomóc|odpowiedzieć na t|spełnić|zrobić|udzielić|zrealizować)"
    ),
    "cs": r"s tím(?:to)? (?:\w+ ){0,2}(?:nemohu|nemůžu|nedokážu) (?:\w+ )?pomoci?",
    "sv, da, no": (
        r"(?:jag|jeg) (?:kan|får|må) (?:\w+ )?(?:inte|ikke) (?:\w+ ){0,3}"
        r"(?:hjälpa|hjælpe|hjelpe|svara på d|svare på d|göra d|gøre d|gjøre d)"
    ),
    "tr": (r"(?:bu|size|sana|buna|bununla)\b[^.]{0,40} (?:yardımcı olam|yardım edem|yanıt verem)"),
    "ru": (
        r"(?:я )?(?:не могу|не можем|не в состоянии|не имею права)(?: \w+){0,3}? "
        r"(?:помочь|помогать|ответить на эт|выполнить|предоставить|обработать|сделать)"
    ),
    "uk": r"(?:я )?не можу(?: \w+){0,3}? (?:допомогти|відповісти на ц|виконати|надати)",
    "zh": (
        r"我?们?(?:很?抱歉|对不起)?[，,]?我?们?(?:无法|不能|没办法|無法)[^。]{0,16}"
        r"(?:帮助|协助|帮您|帮你|满足|提供|回答|處理|处理|完成|幫助|協助)"
    ),
    "ja": (
        r"[^。]{0,24}(?:お手伝い|お答え|ご協力|お応え|対応|支援|回答)(?:は|する(?:こと)?[はが])?"
        r"(?:でき(?:ません|かねます)|いたしかねます)"
    ),
    "ko": r"[^.]{0,30}(?:도와드릴|도움을 드릴|답변(?:해 ?드릴|할)|응할) 수 없",
    "ar": (
        r"(?:لا أستطيع|لا يمكنني|لا أقدر|غير قادر على)[^.]{0,20}"
        r"(?:مساعد|المساعدة|الإجابة|تلبية|تقديم)"
    ),
}
"""The first person, then a verb of refusing, then one of helping."""

_REFUSAL: Final = re.compile(
    rf"(?:{_OPENINGS}(?:[^.!?。]{{0,60}}?[,.!:;。，、،-] ?|\w*(?: \w+){{0,2}}? )){{0,2}}{_BUT}"
    f"(?:{'|'.join(_CORES.values())})",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Return whether the whole answer is a refusal to help.

    An answer that the source has no information is none.

    >>> is_refusal("I'm sorry, but I can't help with that.")
    True
    >>> is_refusal("I can't find that in the handbook.")
    False
    """
    text = " ".join(text.split()).translate(_QUOTES)
    if len(text) > MAX_REFUSAL or _OF_SOURCE.search(text):
        return False
    return _REFUSAL.match(text) is not None
