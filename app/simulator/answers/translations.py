"""The translations that the simulator knows: everyday phrases in five languages, from each into each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_LANGUAGES = ("English", "German", "French", "Spanish", "Italian")
_NAMES: Mapping[str, str] = {
    **{language.lower(): language for language in _LANGUAGES},
    **dict.fromkeys(("englisch", "englische", "anglais", "inglés", "inglese"), "English"),
    **dict.fromkeys(("deutsch", "deutsche", "allemand", "alemán", "tedesco"), "German"),
    **dict.fromkeys(("französisch", "französische", "français", "francés", "francese"), "French"),
    **dict.fromkeys(("spanisch", "spanische", "espagnol", "español", "spagnolo"), "Spanish"),
    **dict.fromkeys(("italienisch", "italienische", "italien", "italiano"), "Italian"),
}
_PHRASES: Sequence[tuple[str, str, str, str, str]] = (
    ("Hello", "Hallo", "Bonjour", "Hola", "Ciao"),
    ("Hello, world", "Hallo, Welt", "Bonjour le monde", "Hola, mundo", "Ciao, mondo"),
    ("Good morning", "Guten Morgen", "Bonjour", "Buenos días", "Buongiorno"),
    ("Good afternoon", "Guten Tag", "Bon après-midi", "Buenas tardes", "Buon pomeriggio"),
    ("Good evening", "Guten Abend", "Bonsoir", "Buenas noches", "Buonasera"),
    ("Good night", "Gute Nacht", "Bonne nuit", "Buenas noches", "Buonanotte"),
    ("Goodbye", "Auf Wiedersehen", "Au revoir", "Adiós", "Arrivederci"),
    ("See you tomorrow", "Bis morgen", "À demain", "Hasta mañana", "A domani"),
    ("Have a nice day", "Einen schönen Tag noch", "Bonne journée", "Que tengas un buen día", "Buona giornata"),
    ("Thank you", "Danke", "Merci", "Gracias", "Grazie"),
    ("Thanks", "Danke", "Merci", "Gracias", "Grazie"),
    ("Thank you very much", "Vielen Dank", "Merci beaucoup", "Muchas gracias", "Grazie mille"),
    ("Please", "Bitte", "S'il vous plaît", "Por favor", "Per favore"),
    ("Yes", "Ja", "Oui", "Sí", "Sì"),
    ("No", "Nein", "Non", "No", "No"),
    ("Excuse me", "Entschuldigung", "Excusez-moi", "Disculpe", "Mi scusi"),
    ("I am sorry", "Es tut mir leid", "Je suis désolé", "Lo siento", "Mi dispiace"),
    ("Welcome", "Willkommen", "Bienvenue", "Bienvenido", "Benvenuto"),
    ("How are you?", "Wie geht es dir?", "Comment vas-tu ?", "¿Cómo estás?", "Come stai?"),
    ("What is your name?", "Wie heißt du?", "Comment t'appelles-tu ?", "¿Cómo te llamas?", "Come ti chiami?"),
    ("I love you", "Ich liebe dich", "Je t'aime", "Te quiero", "Ti amo"),
    ("Happy birthday", "Alles Gute zum Geburtstag", "Joyeux anniversaire", "Feliz cumpleaños", "Buon compleanno"),
    (
        "Where is the train station?",
        "Wo ist der Bahnhof?",
        "Où est la gare ?",
        "¿Dónde está la estación de tren?",
        "Dov'è la stazione?",
    ),
)
_LANGUAGE = rf"(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})"
_TARGETS = re.compile(
    rf"\b(?:to|into|in|ins|auf|en)\s+({_LANGUAGE}\b(?:(?:\s*,\s*(?:and\s+)?|\s*&\s*|\s+(?:and|und|et|y|e)\s+){_LANGUAGE}\b)*)",
    re.I,
)
_SOURCE = re.compile(rf"\b(?:from|aus dem|the|die|das)\s+{_LANGUAGE}\b", re.I)
_LEAD = re.compile(
    r"^\W*(?:please|can you|could you|translate|übersetze|traduis|traduce|traduci|say|what(?:'s| is)|wie sagt man|"
    r"how (?:do|would|can) (?:you|i|we|one) say|how to say|"
    r"the|this|these|following|phrases?|words?|sentences?|texts?|greetings?|expressions?)(?=\W|$)",
    re.I,
)


def translate(task: str) -> str | None:
    """Translates the known phrase that the task asks for, one line per language; None for any other task."""
    targets = _TARGETS.search(task)
    if targets is None:
        return None
    rest = _SOURCE.sub(" ", f"{task[: targets.start()]} {task[targets.end() :]}")
    row = _find_row(rest)
    if row is None:
        return None
    languages = [_NAMES[name.lower()] for name in re.findall(rf"\b{_LANGUAGE}\b", targets[1], re.I)]
    found = [(language, row[_LANGUAGES.index(language)]) for language in languages]
    return found[0][1] if len(found) == 1 else "\n".join(f"- {language}: {phrase}" for language, phrase in found)


def _find_row(text: str) -> tuple[str, ...] | None:
    """Finds the phrase that the text consists of, after the words that ask for its translation."""
    while (row := _ROWS.get(_key(text))) is None:
        # One word at a time: "please", which asks, is a phrase as well.
        shorter = _LEAD.sub("", text)
        if shorter == text:
            return None
        text = shorter
    return row


def _key(phrase: str) -> str:
    """Returns the words of a phrase, for the look-up: without case, quotation marks and punctuation."""
    plain = phrase.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()
    return " ".join(re.sub(r"[^\w\s'-]|(?<!\w)'|'(?!\w)", " ", plain).split())


# The first row wins where two phrases are the same in a language, such as the French "Bonjour".
_ROWS = {_key(phrase): row for row in reversed(_PHRASES) for phrase in reversed(row)}
