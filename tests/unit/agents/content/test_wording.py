"""The language of the words that the check adds."""

from __future__ import annotations

import pytest

from app.agents.content.wording import ENGLISH, wording_for


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("The tides are caused by the moon, and they rise twice a day [1].", "Sources"),
        ("Die Gezeiten entstehen durch den Mond und sind nicht überall gleich.", "Quellen"),
        ("Les marées sont dues à la Lune et elles montent deux fois par jour dans le golfe.", "Sources"),
        ("Las mareas se deben a la Luna y suben dos veces al día en los puertos.", "Fuentes"),
        ("Le maree sono dovute alla Luna e non salgono più della media del golfo.", "Fonti"),
        ("As marés são causadas pela Lua e não sobem mais do que os rios.", "Fontes"),
        ("De getijden worden door de maan veroorzaakt en het water stijgt niet overal.", "Bronnen"),
        ("Tidvattnet beror på månen och det stiger två gånger om dagen.", "Källor"),
        ("Vuorovesi johtuu kuusta, ja se nousee kaksi kertaa päivässä, mutta ei aina.", "Lähteet"),
        ("Pływy są wywołane przez Księżyc i nie zawsze są takie same.", "Źródła"),
        ("Příliv je způsoben Měsícem a není vždy stejný, ale také se mění podle místa.", "Zdroje"),
        ("Gelgitler Ay ile olur ve bu her gün iki kez olan bir olaydır.", "Kaynaklar"),
        ("Приливы вызваны Луной и бывают дважды в день.", "Источники"),
        ("Припливи спричинені Місяцем і бувають двічі на день.", "Джерела"),
        ("潮汐是由月球引起的。", "来源"),
        ("潮の満ち引きは月によって起こる。", "出典"),
        ("조수는 달 때문에 생긴다.", "출처"),
        ("المد والجزر بسبب القمر.", "المصادر"),
        ("جزر و مد از ماه پدید می‌آید.", "منابع"),
        ("הגאות נגרמת על ידי הירח.", "מקורות"),
        ("ज्वार चंद्रमा के कारण आता है।", "स्रोत"),
        ("น้ำขึ้นน้ำลงเกิดจากดวงจันทร์", "แหล่งที่มา"),
        ("Οι παλίρροιες οφείλονται στη Σελήνη.", "Πηγές"),
        ("Thủy triều là do Mặt Trăng và không phải của các con sông.", "Nguồn"),
    ],
)
def test_the_heading_is_in_the_language_of_the_text(text: str, heading: str) -> None:
    assert wording_for(text).sources == heading


@pytest.mark.parametrize("text", ["", "OK [1].", "42", "www.le-de-la.com and https://die.und.der", "La Traviata"])
def test_english_is_used_for_what_is_too_short_to_tell(text: str) -> None:
    assert wording_for(text) == ENGLISH


def test_an_english_text_about_german_words_stays_english() -> None:
    assert wording_for("The words der, die and das are the articles of German, and it has more of them.") == ENGLISH
