"""The languages of code that a task asks for. Pure.

It reads the words beside a language's name, in the languages that most people write in: "in Go", "Write a Python …",
"port this to Rust", "用 Python 写". It is a heuristic that can do little harm: a language counts only if the answer has
code in it, or code without a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.agents.coding.known_languages import KINDS, NAMES, Kind


@dataclass(frozen=True)
class AskedLanguages:
    """`named` has every language that the task names; `wanted` those that the code shall be in, in order of appearance.

    `port_target` is the language into which existing code shall be ported.
    """

    port_target: str | None
    wanted: tuple[str, ...]
    named: frozenset[str]


@dataclass(frozen=True)
class _Name:
    """A place that may name a language, with the text beside it on the same line; `is_first` if it begins the line."""

    language: str
    written: str
    before: str
    after: str
    is_first: bool


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NEAR = 60  # characters beside a name
_CHARACTERS = 8_000  # of the beginning, and as many of the end; pasted material is in between
_FENCED = re.compile(r"^[ \t>]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t>]*\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_.@#$])[A-Za-z][A-Za-z0-9]*(?:\+\+|#)?(?:\.(?:js|net)\b)?(?![A-Za-z0-9_]|\.[A-Za-z0-9])"
    r"|[^\W\d_A-Za-z]{3,}",
    re.IGNORECASE,
)
# Some languages add letters to a name: "на питоне", "w Pythonie", "Pythonilla".
_INFLECTED = re.compile(
    r"(python|typescript|javascript|kotlin|haskell|питон|пайтон|джаваскрипт|파이썬|パイソン|자바스크립트)\w{1,4}"
)
_IN = re.compile(
    r"(?:\b(?:in|en|em|w|v|ve|på|i|в|на|у|σε|dalam|bằng|trong|بلغة|في|در|زبان)|用|使用|以|ด้วย|ภาษา|ใน)\s*(?:the\s+)?$",  # noqa: RUF001 - Cyrillic
    re.IGNORECASE,
)
# Not of pages and settings: "a Flask app with HTML templates".
_WITH = re.compile(
    r"\b(?:with|using|via|mit|avec|con|com|met|med|с|з|με|با|باستخدام|dengan|menggunakan)\s+$",  # noqa: RUF001 - Cyrillic
    re.IGNORECASE,
)
_AFTER_IN = re.compile(
    r"\s*(?:を使|を用|で|语言|語言|言語|写|寫|编写|实现|實現|으로|로|(?:을|를)\s*(?:사용|이용)|में|ile\b|dilinde|"
    r"['\u2019](?:da|de|ta|te)\b)"
)
_TO = re.compile(
    r"(?:\b(?:to|into|as|in|nach|zu|vers|en|a|à|para|em|naar|na|till|til|do|в|на|у|إلى|به|sang|ke)|->|=>|[→⇒]|"  # noqa: RUF001 - Cyrillic
    r"成|为|為|到|至|เป็น)\s*$",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\ba\s+$", re.IGNORECASE)  # "a C program" in English, and "to C" in Spanish
_AFTER_TO = re.compile(r"\s*(?:に|へ|로|으로|版|['\u2019](?:a|e|ya|ye)\b|\s*version\b)", re.IGNORECASE)
_PORTS = re.compile(
    r"\b(?:port\w*|convert\w*|translat\w*|migrat\w*|rewrit\w*|transpil\w*|turn|umschreib\w*|umwandl\w*|wandle|konvertier\w*|"
    r"übersetz\w*|portier\w*|traduis\w*|traduire|réécri\w*|reescrib\w*|reescrev\w*|traduc\w*|traduz\w*|riscriv\w*|"
    r"omzet\w*|vertaal\w*|herschrijf\w*|zet|przepisz|przekonwertuj|przetłumacz|přepiš|převeď|перепиш\w*|переведи\w*|"
    r"конвертир\w*|çevir\w*|dönüştür\w*|حول|ترجم|chuyển|ubah|konversi)\b|转换|轉換|翻译|翻譯|改写|改寫|改成|移植|変換|"
    r"書き換え|변환|바꿔|แปลง|बदल",
    re.IGNORECASE,
)
_MAKES = re.compile(
    r"(?:\b(?:write|give|create|generate|show|make|draw|build|produce|provide|need|want|schreib\w*|erstell\w*|"
    r"gib|zeig\w*|zeichne|brauche|écris|écrivez|donne\w*|crée\w*|génère|dessine|escrib\w*|dame|crea(?:me|r|te)?|genera(?:me|r)?|dibuja|"
    r"escrev\w*|cri[ae]|ger[ae]|scriv\w*|dammi|disegna|schrijf|maak|geef|napisz|stwórz|napiš|vytvoř|напиши\w*|создай\w*|"
    r"сделай\w*|покажи|нарисуй|yaz|oluştur|اكتب|أنشئ|بنویس|viết|tạo|buat\w*|tulis\w*)\b(?:\s+[^\s.!?:;]+){0,3}\s*"
    r"|(?:写|寫|生成|画|畫|给|給|创建|作)[^。！？\n]{0,6})$",  # noqa: RUF001 - marks of Chinese
    re.IGNORECASE,
)
_GIVEN = re.compile(
    r"\b(?:this|that|these|my|our|existing|dies\w*|mein\w*|ce|cette|mon|ma|este|esta|mi|questo|questa|это\w*|мо[йяюе])\b",
    re.IGNORECASE,
)
_PROGRAM = re.compile(
    r"\b(?:scripts?|functions?|class(?:es)?|programs?|code|snippet|app|skript|funktion|programm|klasse|función|código|"
    r"fonction|classe|funzione|codice|função|скрипт|функци|программ|код)|函数|函數|脚本|程序|代码|関数|スクリプト|함수|스크립트|코드",
    re.IGNORECASE,
)
_TOOL = re.compile(
    r"[\s-]*(?:parser|formatter|validator|linter|converter|library|reader|writer|serializer|client|api|解析)",
    re.IGNORECASE,
)

# Names that are words as well: they count only where the words beside them say that a language is meant.
_WORDS = _listed("""
    ada alloy apex apl assembler assembly awk basic batch bicep blade cairo carbon chapel coffee crystal cue
    dart diff dot elm emacs fennel fish forth gleam hack idris jade janet julia just lean less liquid lisp logo
    lua make markdown meson metal mojo move mustache nim nix node octave odin pony processing properties pug
    puppet raku razor reason regex ruby rust sass scheme scratch shell smalltalk starlark stylus svelte swift
    thrift twig vala vue zig
""")
_SHORT = _listed("php sql css xml csv c++ cpp c# f# vba svg yml")
# Aliases that are right on a block, and in a task mean a tool or a product.
_NOT_ASKED = _listed("""
    ansible apache arduino ash bazel bigquery blazor caddy cmd command-line commandline compose conf config
    console cron dash deno django docker dos dotnet duckdb env feature flutter gas godot gradle helm http https
    k8s kubernetes mariadb mssql mysql nginx oracle-sql org patch pom postgres postgresql pro ps re react.js
    reactjs res rest rss session snowflake sol sqlite sqlite3 star terminal tk
""")
_SINGLE = frozenset("CDJRVcr")


def read_asked_languages(task: str) -> AskedLanguages:
    """Reads the names outside of pasted code blocks."""
    text = _FENCED.sub("\n", task if len(task) <= 2 * _CHARACTERS else f"{task[:_CHARACTERS]}\n{task[-_CHARACTERS:]}")
    ports = _PORTS.search(text) is not None
    target: str | None = None
    wanted: list[str] = []
    named: set[str] = set()
    for name in _names(text):
        if _is_port_target(name, ports=ports):
            target = _later_target(target, name.language)
        elif _is_wanted(name):
            wanted.append(name.language)
        elif _reads_as_a_word(name):
            continue
        named.add(name.language)
    return AskedLanguages(target, tuple(wanted), frozenset(named))


def _later_target(target: str | None, later: str) -> str:
    """Prefers the later target, "it is in Java, port it to Go", and a program's language to that of its data."""
    return later if target is None or KINDS[later] <= KINDS[target] else target


def _names(text: str) -> Iterator[_Name]:
    """Yields the names in order; a name of two words, such as `Visual Basic`, counts once."""
    for line in text.split("\n"):
        end = 0
        tokens = list(_TOKEN.finditer(line))
        for index, token in enumerate(tokens):
            pair = line[token.start() : tokens[index + 1].end()] if index + 1 < len(tokens) else ""
            for written in (pair, token.group()):
                language = _language(written)
                if language is not None and token.start() >= end:
                    end = token.start() + len(written)
                    yield _name(line, language, written, start=token.start())


def _name(line: str, language: str, written: str, *, start: int) -> _Name:
    end = start + len(written)
    return _Name(
        language=language,
        written=written,
        before=line[max(0, start - _NEAR) : start],
        after=line[end : end + _NEAR],
        is_first=not re.search(r"\w", line[:start]),
    )


def _language(written: str) -> str | None:
    called = re.sub(r"\s+", "-", written.lower())
    if called in _NOT_ASKED or (len(written) == 1 and written not in _SINGLE):
        return None
    inflected = _INFLECTED.fullmatch(called)
    return NAMES.get(inflected[1] if inflected else called)


def _is_word(written: str) -> bool:
    called = written.lower()
    return called in _WORDS or (len(called) <= 3 and called not in _SHORT)


def _is_port_target(name: _Name, *, ports: bool) -> bool:
    """Returns True for the Rust of "port this to Rust" and of "C to Rust", and for no "to" of another kind."""
    is_article = _ARTICLE.search(name.before) is not None and _followed_by_code(name)
    leads = (_TO.search(name.before) and not is_article) or _AFTER_TO.match(name.after)
    return bool(leads) and (ports or _follows_a_name(name))


def _follows_a_name(name: _Name) -> bool:
    return any(_language(word.strip(".,:;\"'()`")) for word in name.before.split()[-4:])


def _is_wanted(name: _Name) -> bool:
    kind = KINDS[name.language]
    if kind is not Kind.MATERIAL and (_IN.search(name.before) or _AFTER_IN.match(name.after)):
        return True
    if kind is Kind.PROGRAM and _WITH.search(name.before):
        return True
    if _reads_as_a_word(name) and not _followed_by_code(name):
        return False
    return _is_to_be_made(name) and not (kind is not Kind.PROGRAM and _belongs_to_a_program(name))


def _reads_as_a_word(name: _Name) -> bool:
    """Returns True for the "make" of "Make it go": only a capital inside a sentence marks it as a name."""
    return _is_word(name.written) and (name.is_first or name.written.islower())


def _followed_by_code(name: _Name) -> bool:
    return _PROGRAM.match(name.after.lstrip(" -")) is not None


def _is_to_be_made(name: _Name) -> bool:
    made = _MAKES.search(name.before)
    return name.is_first or (made is not None and not _GIVEN.search(made.group()))


def _belongs_to_a_program(name: _Name) -> bool:
    """Returns True for "write a script to read JSON" and for "write a JSON parser"."""
    return bool(_TOOL.match(name.after) or _PROGRAM.search(name.before))
