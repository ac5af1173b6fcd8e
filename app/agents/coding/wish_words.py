"""The words beside a language's name that say what a task wants of it, in the languages that most people write in.

Patterns named `…_BEFORE` are searched in the text before a name, those named `…_AFTER` matched with the text after it.
"""

from __future__ import annotations

import re


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


IN_BEFORE = re.compile(
    r"(?:\b(?:in|en|em|w|v|ve|på|i|в|на|у|σε|dalam|bằng|trong|بلغة|في|در|زبان)|用|使用|以|ด้วย|ภาษา|ใน)\s*(?:the\s+)?$",  # noqa: RUF001 - Cyrillic
    re.IGNORECASE,
)
# Not of pages and settings: "a Flask app with HTML templates".
WITH_BEFORE = re.compile(
    r"\b(?:use|with|using|via|mit|avec|con|com|met|med|с|з|με|با|باستخدام|dengan|menggunakan)\s+$",  # noqa: RUF001 - Cyrillic
    re.IGNORECASE,
)
IN_AFTER = re.compile(
    r"\s*(?:を使|を用|で|语言|語言|言語|写|寫|编写|实现|實現|으로|로|(?:을|를)\s*(?:사용|이용)|में|ile\b|dilinde|"
    r"['\u2019](?:da|de|ta|te)\b)"
)
_STYLE = (
    r"(?:(?:idiomatic|modern|plain|pure|vanilla|clean|typed|native|standard|proper|valid|simple|equivalent|strict|short|"
    r"idiomatisches|modernes|sauberes|reines|äquivalentes)\s+)?"
)
TO_BEFORE = re.compile(
    r"(?:\b(?:to|into|as|nach|zu|als|durch|vers|a|à|como|para|naar|na|till|til|do|на|إلى|به|sang|ke)|->|=>"
    rf"|[→⇒]|成|为|為|到|至|转|轉|เป็น)\s*{_STYLE}$",
    re.IGNORECASE,
)
# "Into a Bash script".
TO_A_BEFORE = re.compile(
    r"\b(?:to|into|as|in|nach|zu|als|vers|en|a|à|em|como|comme|naar|na|in)\s+"
    rf"(?:an?|the|some|ein(?:e|en|em|er)?|un|une|una|uno|um|uma|een)\s+{_STYLE}$",
    re.IGNORECASE,
)
# What follows the original in "Java to Kotlin".
BECOMES = re.compile(r"\s*(?:(?:to|into|nach|zu|vers|para)\b|->|=>|[→⇒到成转轉])", re.IGNORECASE)
# "Make Python out of this SQL" in German, which has the wish after the original.
OUT_OF_BEFORE = re.compile(r"\bmach\w*\s+(?:\S+\s+)?aus\s+(?:\S+\s+){1,4}$", re.IGNORECASE)
ARTICLE_BEFORE = re.compile(r"\ba\s+$", re.IGNORECASE)  # "a C program" in English, and "to C" in Spanish
TO_AFTER = re.compile(
    r"\s*(?:に|へ|로|으로|版|['\u2019](?:a|e|ya|ye)\b|[\s-]*(?:version|equivalent|counterpart|port|fassung|äquivalent)\b)",
    re.IGNORECASE,
)
# Somewhere in the task: existing code shall become code in another language.
PORTS = re.compile(
    r"\b(?:(?<!on )(?<!the )(?<!tcp )(?<!udp )port(?:s|ed|ing|ez?|er|ar?)?\b(?!\s*[:=]?\s*\d)|"
    r"convert\w*|translat\w*|migrat\w*|rewrit\w*|transpil\w*|turn|re-?implement\w*|redo|express|transform\w*|"
    r"look(?:s|ed)?(?: like)? in|equivalents?|(?:version|versión|versão) (?:of|de)|"
    r"umschreib\w*|umwandl\w*|wandle|konvertier\w*|übersetz\w*|portier\w*|überführ\w*|ersetz\w*|sieht|"
    r"(?:schreib|form|bau|stell|setz)\w*\b[^.!?\n]{0,80}\bum|mach\w*\s+(?:\S+\s+)?aus|"
    r"traduis\w*|traduire|réécri\w*|équivalent\w*|conviert\w*|pas[ae]r?(?:lo|la)?|"
    r"reescrib\w*|reescrev\w*|traduc\w*|traduz\w*|riscriv\w*|"
    r"omzet\w*|vertaal\w*|herschrijf\w*|zet|przepisz|przekonwertuj|przetłumacz|přepiš|převeď|перепиш\w*|переведи\w*|"
    r"конвертир\w*|преобразу\w*|çevir\w*|dönüştür\w*|حول|ترجم|chuyển|ubah|konversi)\b|转换|轉換|翻译|翻譯|改写|改寫|改成|改为|改為|重写|重寫|转成|轉成|转为|轉為|转|轉|译成|移植|変換|"
    r"書き換え|변환|바꿔|แปลง|बदल",
    re.IGNORECASE,
)
_MAKES = (
    r"\b(?:write|give|create|generate|show|make|draw|build|produce|provide|need|want|implement|schreib\w*|erstell\w*|"
    r"gib|zeig\w*|zeichne|brauche|écris|écrivez|donne\w*|crée\w*|génère|dessine|escrib\w*|dame|crea(?:me|r|te)?|"
    r"genera(?:me|r)?|dibuja|escrev\w*|cri[ae]|ger[ae]|scriv\w*|dammi|disegna|schrijf|maak|geef|"
    r"napisz|stwórz|napiš|vytvoř|напиши\w*|создай\w*|"
    r"сделай\w*|покажи|нарисуй|yaz|oluştur|اكتب|أنشئ|بنویس|viết|tạo|buat\w*|tulis\w*)\b"
)
_MAKES_IN_CHINESE = "(?:写|寫|生成|画|畫|给|給|创建|作)"
# A request to make something, and at most four words up to the name.
MAKES_BEFORE = re.compile(
    rf"(?:{_MAKES}(?:\s+[^\s.!?:;,]+){{0,4}}\s*|{_MAKES_IN_CHINESE}[^。！？\n]{{0,6}})$",  # noqa: RUF001 - marks of Chinese
    re.IGNORECASE,
)
# What the user has already.
GIVEN = re.compile(
    r"\b(?:this|that|these|my|our|existing|dies\w*|mein\w*|ce|cette|mon|ma|este|esta|mi|questo|questa|это\w*|мо[йяюе])\b",
    re.IGNORECASE,
)
# What is written in a programming language.
PROGRAM = re.compile(
    r"\b(?:scripts?|functions?|class(?:es)?|programs?|code|snippet|app|skript|funktion|programm|klasse|función|código|"
    r"fonction|classe|funzione|codice|função|скрипт|функци|программ|код)|函数|函數|脚本|程序|代码|関数|スクリプト|함수|스크립트|코드",
    re.IGNORECASE,
)
# A request for a program, which may itself convert something: "write a compiler from C to Rust".
MAKES_A_PROGRAM = re.compile(
    rf"(?:{_MAKES}(?:\s+[^\s.!?:;,]+){{0,5}}?\s+|{_MAKES_IN_CHINESE}[^。！？\n]{{0,12}}?)"  # noqa: RUF001 - marks of Chinese
    rf"(?:{PROGRAM.pattern}|\b(?:(?:de|trans)?compiler|transpiler|converter|translator|interpreter|method|tool|library|compilador|konverter)s?\b)",
    re.IGNORECASE,
)
# What an existing program does: "explain this code that turns XML into JSON".
WHICH_CONVERTS = re.compile(
    r"\b(?:that|which)\s+(?:\w+ly\s+)?(?!was\b|is\b|has\b|does\b)[a-z]+s\b|,\s*(?:die|der|das)\s"
    r"|\bque\s+(?:convi|transf|tradu|pas|gener|lee)\w+|\bqui\s+(?:convert|transf|tradui|lit|génèr)\w*",
    re.IGNORECASE,
)
# A program that works on the data whose name stands before it.
TOOL_AFTER = re.compile(
    r"[\s-]*(?:parser|formatter|validator|linter|converter|library|reader|writer|serializer|client|api|解析)",
    re.IGNORECASE,
)

# Names that are words as well: they count only where the words beside them say that a language is meant.
WORDS = _listed("""
    ada alloy apex apl assembler assembly awk basic batch bicep blade cairo carbon chapel coffee crystal cue
    dart diff dot elm emacs fennel fish forth gleam hack idris jade janet julia just lean less liquid lisp logo
    lua make markdown meson metal mojo move mustache nim nix node octave odin pony processing properties pug
    puppet raku razor reason regex ruby rust sass scheme scratch shell smalltalk starlark stylus svelte swift
    thrift twig vala vue zig
""")
# "In basic terms", "with less code".
ADJECTIVES = _listed("basic crystal just lean less metal swift")
SHORT_NAMES = _listed("php sql css xml csv c++ cpp c# f# vba svg yml")
# Aliases that are right on a block, and in a task mean a tool or a product.
PRODUCTS = _listed("""
    ansible apache arduino ash bazel bigquery blazor caddy cmd command-line commandline compose conf config
    console cron dash deno django docker dos dotnet duckdb env feature flutter gas godot gradle helm http https
    k8s kubernetes mariadb mssql mysql nginx oracle-sql org patch pom postgres postgresql pro ps re react.js
    reactjs res rest rss session snowflake sol sqlite sqlite3 star terminal tk
""")
# What is written in one language only. These names count in tasks, and are no tags of blocks.
LIBRARIES = {
    "airflow": "python",
    "angular": "typescript",
    "asyncio": "python",
    "boto3": "python",
    "dplyr": "r",
    "express.js": "javascript",
    "fastapi": "python",
    "flask": "python",
    "ggplot2": "r",
    "jquery": "javascript",
    "laravel": "php",
    "matplotlib": "python",
    "nestjs": "typescript",
    "numpy": "python",
    "pandas": "python",
    "polars": "python",
    "pyspark": "python",
    "pytest": "python",
    "pytorch": "python",
    "rails": "ruby",
    "scikit-learn": "python",
    "sqlalchemy": "python",
    "tidyverse": "r",
}
