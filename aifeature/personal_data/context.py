"""Words near a number that give its meaning, in many languages."""

# ruff: noqa: RUF001 (words of many languages)

from __future__ import annotations

import itertools
import re
from enum import StrEnum
from typing import Final

from aifeature.personal_data.views import View

_BEFORE: Final = 64
_DIRECTLY: Final = 28
_AFTER: Final = 24


class Topic(StrEnum):
    """The meaning of the words near a number."""

    PHONE = "phone"
    CARD = "card"
    ID = "id"
    IBAN = "iban"
    OTHER = "other"
    """Order numbers, versions, prices, products: harmless numbers."""


# Words of scripts with spaces. `*` is any ending, `+` a space.
_WORDS: Final = {
    Topic.PHONE: """
        tel tél telf telef tlf tlph phone* telephone* telephon* telefon* téléphon* teléfon* teléf
        telefoon* telefón* puhelin* puhelimi* numéro+de+tel* call calls called calling callback cell
        cellphone* smartphone*number mobile mobiles mobil mobilnummer* mobilnr mobiltelefon* mobilen
        mobiel* mobilní* handy handynummer* handynr rufnummer* durchwahl* festnetz* hotline* móvil*
        celular* cellulare* portable komórk* komork* fax faks telefax* sms whatsapp viber landline*
        pager dial dialing text+me text+us ring+me ring+us ring+mig ring+meg ring+til ruf* anruf*
        angerufen erreich* zurückruf* rückruf* appel* rappel* joindre joignable* llam* llám* ligue*
        ligar liga-me chiam* richiam* bel+me bel+ons bellen opbellen zadzwo* dzwo* numer+kontaktowy
        soita* soitt* zavol* volejte suna* sună* sunați hívj* hívja* τηλ* κιν κινητ* καλέσ* καλεσ*
        telemóve* telemove* fono cel ph mob contato* contacto contatto kontakt* cep gsm
        ara arayın* тел телефон* звон* позвон* перезвон* моб мобильн* мобілен* факс дзвон*
        подзвон* зателефон* обад* hotline contact+number* reach+me reach+us reach+him reach+her
        reach+them my+number meine+nummer mein+nummer mon+numéro mi+número mio+numero meu+número
        mój+numer mijn+nummer mitt+nummer min+nummer numaram numaram* мой+номер мій+номер
        numero+di+tel* telepon* hubungi* điện+thoại gọi sđt zalo line-nummer telephely*
        هاتف* الهاتف* جوال* الجوال* اتصل* تلفون* موبايل* رقمي تماس تلفن*
        טלפון* נייד* התקשר* להתקשר* פאקס फ़ोन* फोन* फ़ोन* मोबाइल* कॉल* ফোন* மொபைல்*
        """,
    Topic.CARD: """
        card cards cardnumber* creditcard* debitcard* kreditkart* kreditkort* bankkart* bankkort*
        karte karten* kartennummer* carte* tarjeta* carta+di carta cartão* cartao* kaart*
        kaartnummer*
        karta* kartę* karty* kartą* kart kartı* kartım* kortnummer* kortti* luottokort* kortet
        visa mastercard* amex american+express maestro unionpay discover diners jcb карт* картк*
        κάρτα* καρτα* κάρτας بطاقة* البطاقة* כרטיס* कार्ड* kartu
        """,
    Topic.ID: """
        ssn ssns social+security sozialversicherung* sv-nummer svnr sv-nr rentenversicherung*
        ahv* avs versichertennummer* steuer-id* steuerid* steuer-identifikation*
        steueridentifikation* steuernummer* identifikationsnummer* idnr tax+id* tax+number*
        tax+file*
        taxpayer* tin itin tfn sin social+insurance insurance+number national+id* national+insurance
        national+number nino ni+number nhs identity* id+card* id-card* id+number* id+no
        identification*
        citizen* personalausweis* ausweis* perso personal+number* personal+id* personal+code*
        passport* reisepass* passnummer* passeport* pasaporte* passaporto* passaporte* paszport*
        numéro+de+sécu* sécurité+sociale sécu nir insee numéro+fiscal identifiant+fiscal
        numéro+national registre+national carte+d'identité pièce+d'identité
        dni nie nif cif nuss documento* identidad* identificación* identité* identità identidade*
        codice+fiscale cod+fisc* codice cpf rut run curp rfc cuit cuil cédula* cedula*
        ciudadanía* contribuinte* cartão+de+cidadão número+fiscal bsn burgerservice*
        rijksregister* sofinummer* identiteits* persoonsnummer* pesel nip dowód* dowod* rodné+číslo*
        rodne+cislo* rodné+č* personnummer* personnr personnumre* samordningsnummer* fødselsnummer*
        fodselsnummer* fødselsnr cpr cpr-nr* cpr-nummer* personnumer* henkilötunnu* hetu sotu
        kennitala* kennitölu* isikukood* asmens+kod* personas+kod* cnp cod+numeric* egn егн oib jmbg
        emšo emso matični+broj osobni amka αμκα αφμ ταυτότητα* ταυτοτητα* kimlik* tckn
        adóazonosító* taj személyi* снилс инн паспорт* удостоверени* іпн рнокпп паспорт*
        посвідчення*
        aadhaar* aadhar* uidai pan pan-card nric hkid pps ppsn nss nik ktp cccd cmnd căn+cước mykad
        id-nummer* id-nr idnummer* idnumber* henkilökort* legitimation* urssaf
        الهوية* هوية* القومي* الوطني* כ.ז ת.ז ת"ז זהות* आधार* पहचान* पैन*
        """,
    Topic.IBAN: """
        iban bank+account konto* kontonummer* compte* cuenta* conto rekening* rachunek* rachunku*
        hesap* счет* счёт* рахун* swift bic
        """,
    Topic.OTHER: """
        order orders order# ordernumber* ordre ordrenummer* commande* pedido* ordine* ordini
        encomenda*
        bestell* auftrag* bestelling* beställning* ordernummer* zamówien* zamowien* tilaus*
        objednáv*
        comand* rendelés* sipariş* siparis* παραγγελ* заказ* замовлен* поръчк* طلب* הזמנה* ऑर्डर*
        invoice* rechnung* facture* factura* fattura* fatura* faktura* fakt* lasku* számla* ref refs
        reference* referenz* référence* referencia* riferimento* referência* kenmerk* ticket*
        tickets
        fallnummer* bug tracking sendung* sendungsnummer* paket* pakket*
        colis suivi seguimiento* envío* spedizione* shipment* parcel* przesyłk* överföring* waybill*
        isbn* issn ean* gtin upc asin sku article* artikel* artículo* articolo* artigo* artykuł*
        product* produkt* produit* producto* prodotto* produto* товар* part-no serial* serien*
        série* seriennummer* serie* imei* meid iccid version* versión* versione* versão* wersja*
        версия*
        release* firmware commit* sha sha1 sha256 md5 hash* checksum* guid uuid etag
        transaction* transak* transacc* transaz* transação* vorgang* aktenzeichen* az kunden*
        customer+id customer+no customer+number client+id cliente+id contract* vertrag* contrat*
        policy police polizza póliza meter zähler* batch chargen* lot po rma sn s/n doi arxiv pmid
        patent* port pid timestamp* epoch unix latitude longitude coordinates gps
        koordinaten* coordonnées* coordenadas* coordinate population einwohner* inhabitants
        habitants
        price prices preis* prix precio* prezzo preço* cost costs amount betrag* montant*
        накладн* трек* трекинг* flug bookings booking* buchung* reservation* réservation*
        reserva* rezerwac* prenotazione* case# nummernschild model modell modelo modello modèle
        account+id session* request* job course client cliente klant* klient*
        """,
}
_OTHER_SCRIPTS: Final = {
    Topic.PHONE: (
        "电话|電話|手机|手機|致电|致電|传真|傳真|联系方式|携帯|ファックス|ケータイ|"
        "연락처|전화|휴대폰|핸드폰|휴대전화|팩스|โทร|มือถือ|打给|拨打"
    ),
    Topic.CARD: "信用卡|银行卡|銀行卡|卡号|卡號|借记卡|カード|카드|บัตรเครดิต",
    Topic.ID: (
        "身份证|身份證|身分証|身分證|护照|護照|マイナンバー|個人番号|パスポート|주민등록|주민번호|여권|"
        "外国人登録|統一編號|บัตรประชาชน|เลขประจำตัว"
    ),
    Topic.IBAN: "账号|帳號|口座|계좌",
    Topic.OTHER: (
        "订单|訂單|单号|單號|运单|快递|注文|追跡|伝票|商品|版本|バージョン|"
        "番号札|주문|송장|운송장|버전|型号|产品|발행|พัสดุ|คำสั่งซื้อ"
    ),
}


def _lookup() -> tuple[dict[str, Topic], dict[str, Topic]]:
    """Return the topics of whole words, and of beginnings of words."""
    whole: dict[str, Topic] = {}
    beginnings: dict[str, Topic] = {}
    for topic, words in _WORDS.items():
        for word in words.split():
            (beginnings if word.endswith("*") else whole)[word.rstrip("*").replace("+", " ")] = (
                topic
            )
    return whole, beginnings


_WHOLE, _BEGINNINGS = _lookup()
_SHORTEST: Final = min(map(len, _BEGINNINGS))
_LONGEST: Final = max(map(len, _BEGINNINGS))
_LETTERS: Final = r"[^\W\d_\u2e80-\ud7ff\uf900-\uffff]+"
"""Letters of scripts with spaces. Words of other scripts touch them."""
_WORD: Final = re.compile(rf"{_LETTERS}(?:[-'./\"]{_LETTERS})*")
_WIDE: Final = re.compile(
    "|".join(f"(?P<{topic.name}>{words})" for topic, words in _OTHER_SCRIPTS.items())
)
_SENTENCE_END: Final = re.compile(
    r"[!?。！？؟]|\n\s{0,20}\n|(?<!tel)(?<!fax)(?<!mob)(?<!telf)(?<!\.\w)\.\s+(?=[^\W\d_]{2})"
)
_PHRASE_END: Final = re.compile(r"[\n.;!?。]")
_DIRECTLY_BEFORE: Final = re.compile(
    r"(?:[^\w\n,;]|_|:\s{1,3}|(?<![^\W_])(?:no|nr|nos|num|number|numbers|nummer|nummern|numéro|numero|número|numer"
    r"|n|id|ids|code|is|are|was|the|ist|sind|war|lautet|est|es|son|è|é|jest|to|er|är|номер|это)(?![^\W_])"
    r"|[号號码碼是为為はがの]|番号|编号|編號|번호|는|은|가){0,24}"
)
"""The text between a word such as `order` and its number."""


def _topic(words: str, following: str) -> Topic | None:
    """Return the topic of a word, or of the phrase that it begins."""
    for text in (f"{words} {following}", words) if following else (words,):
        if text in _WHOLE:
            return _WHOLE[text]
        for size in range(min(len(text), _LONGEST), _SHORTEST - 1, -1):
            if text[:size] in _BEGINNINGS:
                return _BEGINNINGS[text[:size]]
    return None


def _last_topic(text: str) -> Topic | None:
    """Return the topic of the last word that has one.

    A word for another number counts directly before a number only. Further away, it hides the
    words for phones before it.
    """
    following, hidden = "", False
    for word in reversed(list(_WORD.finditer(text))):
        topic = _topic(word[0], following) or (
            _topic(word[0].replace("-", " "), "") if "-" in word[0] else None
        )
        if topic is Topic.OTHER and not _DIRECTLY_BEFORE.fullmatch(text, word.end()):
            topic, hidden = None, True
        if topic and not (hidden and topic is Topic.PHONE):
            return topic
        following = word[0]
    return None


def _last_wide_topic(text: str) -> Topic | None:
    """Return the topic of the last word of a script without spaces that has one."""
    for found in reversed(list(_WIDE.finditer(text))):
        topic = Topic[found.lastgroup or ""]
        if topic is not Topic.OTHER or _DIRECTLY_BEFORE.fullmatch(text, found.end()):
            return topic
    return None


def _topic_of(words: str) -> Topic | None:
    return (None if words.isascii() else _last_wide_topic(words)) or _last_topic(words)


class Context:
    """The topics of the words near each place of a view.

    The first `head` characters are the name of the field, whose words never mean another number.
    """

    def __init__(self, view: View, head: int = 0) -> None:
        self._text = view.lower
        self._head = head
        self._last: tuple[int, Topic | None] = (-1, None)

    def before(self, start: int) -> Topic | None:
        """Return the topic of the nearest word before a place, within one sentence."""
        if self._last[0] != start:
            self._last = start, self._before(start)
        return self._last[1]

    def _before(self, start: int) -> Topic | None:
        words = self._text[max(self._head, start - _BEFORE) : start]
        begin = 0
        for end in _SENTENCE_END.finditer(words):
            begin = end.end()
        topic = _topic_of(words[begin:])
        if topic or begin or start - _BEFORE >= self._head:
            return topic
        topic = _topic_of(self._text[: self._head])
        return None if topic is Topic.OTHER else topic

    def directly(self, start: int, topic: Topic) -> bool:
        """Return whether a word of a topic is within a few words before a place."""
        return _last_topic(self._text[max(0, start - _DIRECTLY) : start]) is topic or (
            self.before(start) is topic
            and not self._text[max(0, start - _DIRECTLY) : start].isascii()
        )

    def near(self, start: int, end: int) -> Topic | None:
        """Return the topic of the words before a place, else of those directly after it."""
        return self.before(start) or self._after(end)

    def _after(self, end: int) -> Topic | None:
        words = self._text[end : end + _AFTER]
        if stop := _PHRASE_END.search(words):
            words = words[: stop.start()]
        if not words.isascii():
            for wide in _WIDE.finditer(words):
                if (topic := Topic[wide.lastgroup or ""]) is not Topic.OTHER:
                    return topic
        found = _WORD.findall(words)
        for word, following in itertools.zip_longest(found, found[1:], fillvalue=""):
            if (topic_ := _topic(word, following)) and topic_ is not Topic.OTHER:
                return topic_
        return None
