"""The reading of a prompt by plain rules: the task, its topic, its language, its sources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from app.simulator.answers.arithmetic import solve
from app.simulator.prompt import Prompt

_REMEMBERED = 64  # texts: the same task is read several times for one answer, and again for the next step
_BLOCK = re.compile(
    r'<<<data (?P<boundary>[0-9a-f]+) source="(?P<source>[^"]*)">>>\n(?P<body>.*?)\n<<<end (?P=boundary)>>>', re.S
)
_APPENDIX = re.compile(r"\n-{3,}\n(?=[A-Z][\w ]*:)")
_SOURCE_LINE = re.compile(r"^\s*(?:[-*]\s*)?\[(\d{1,2})\]:?\s*(.*)$", re.M)
_FENCE = re.compile(r"```([\w+#-]*)[^\n]*\n(.*?)```", re.S)
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LEAD = re.compile(
    r"^(?:please |could you |can you |i (?:need|want|would like)(?: you to)? |help me )*"
    r"(?:(?:to )?(?:write|create|draft|compose|prepare|produce|give|make|generate|research|explain|describe|"
    r"summari[sz]e|discuss|compare|tell|outline|plan|find out|look up|translate)\b(?: me| us)?(?: and \w+)?\s*)?"
    r"(?:(?:an?|the|some|short|long|brief|detailed|blog|in-depth|comprehensive|three|five|paragraphs?|\d+[ -]word)\s+)*"
    r"(?:(?:article|post|essay|report|story|text|overview|summary|introduction|guide|newsletter|paper|piece|analysis|research|"
    r"poem|speech|letter|email|paragraph|function|program|script|code)\b\s*)?(?:(?:about|on|of|for|regarding|into|over)\s+)?",
    re.I,
)
_STOP_WORDS = re.compile(
    r"(?:a|an|and|any|about|are|as|at|be|by|can|do|for|from|has|have|how|i|if|in|into|is|it|its|me|my|of|on|or|other|"
    r"our|please|that|the|their|them|this|to|us|use|using|we|what|when|where|which|who|why|will|with|write|you|your)"
)
_LANGUAGES: tuple[tuple[str, str], ...] = (
    ("typescript", r"typescript|\bts\b"),
    ("javascript", r"javascript|node\.?js|\bjs\b|\bnode\b"),
    ("python", r"python|\bpy\b|django|flask|fastapi|pandas"),
    ("csharp", r"c#|csharp|\.net\b"),
    ("cpp", r"c\+\+|\bcpp\b"),
    ("rust", r"\brust\b"),
    ("go", r"\bgolang\b|\bin go\b|\bto go\b|\bgo (?:function|program|code|server|http)\b|\bgoroutines?\b"),
    ("java", r"\bjava\b"),
    ("ruby", r"\bruby\b"),
    ("php", r"\bphp\b"),
    ("sql", r"\bsql\b|postgres|mysql|sqlite|\bselect\b.*\bfrom\b"),
    ("bash", r"\bbash\b|\bshell\b|\bsh script\b|\bcron\b"),
    ("c", r"\bin c\b|\bc (?:function|program|code)\b"),
    # Languages without a solution here: their names count only where they name a language for certain.
    *(
        (name, rf"\b(?:in|into|to) {name}\b|\b{name} (?:function|program|code|script|class)\b")
        for name in ("kotlin", "swift", "scala", "haskell", "perl", "lua", "elixir", "dart", "julia", "cobol", "r")
    ),
)


class Intent(StrEnum):
    WRITE = "write"
    CODE = "code"
    ASK = "ask"
    OTHER = "other"
    PHYSICAL = "physical"
    UNCLEAR = "unclear"


_CODE = re.compile(
    r"\b(code|coding|function|class|method|script|program|programm?e?|algorithm|refactor\w*|debug\w*|bug|compile\w*|regex|"
    r"regular expression|unit tests?|sql|query|api|endpoint|http server|dockerfile|makefile|implement\w*|python|"
    r"javascript|typescript|golang|rust|java|bash|recursion|recursive|fibonacci|fizzbuzz|quicksort|palindrome|"
    r"binary search|linked list|json parser|stack trace|exception|snippet|decorator|debounce|primality|c\+\+|c#|"
    r"funktion|skript|revers(?:e|es|ing) (?:a|the) (?:string|list|array)|código|"
    r"función|fonction)\b|```|\bdef \w+\(|=>|\bconsole\.log",
    re.I,
)
_WRITE = re.compile(
    r"\b(articles?|blog|essays?|reports?|story|stories|poems?|haikus?|limericks?|research\w*|summar\w+|overview|"
    r"newsletter|press release|"
    r"speech|letter|e-?mail|copy|paragraphs?|content|guide|compare|comparison|analy[sz]\w+|outline|draft|translate|"
    r"proofread|rewrite|whitepaper|review|trends?|history of|benefits|pros and cons|write about|introduction|tagline|"
    r"slogan|biography|describe|recommend\w*|brainstorm|itinerary|artikel|aufsatz|bericht|zusammenfass\w+|"
    r"artículo|resumen|texte)\b",
    re.I,
)
_ASK = re.compile(r"^\s*(what|why|how|who|when|where|which|explain|tell me|is|are|does|do|can|should)\b|\?\s*$", re.I)
_PHYSICAL = re.compile(
    r"\b(bake|cook|bring|deliver|drive|pick up|fetch me|wash|clean my|walk my|feed my|water my|mow|iron my|laundry|"
    r"dishes|massage|hug|give me a ride|repair my|fix my (?:car|sink|roof|bike)|paint my|carry|pour|serve me|order me|"
    r"buy me|call me|phone my|teleport|fly me|haircut|babysit|back es mir|hol mir)\b",
    re.I,
)
# A text whose form is named first is a text, also if it is about code.
_PROSE = re.compile(
    r"\b(?:write|draft|compose|create|prepare)\s+(?:me\s+|us\s+)?"
    r"(?:(?!function|class|method|script|program|query|code|regex|tests?\b)[\w-]+\s+){0,4}?"
    r"(?:article|essay|blog post|report|story|poem|haiku|limerick|newsletter|letter|speech|biography)s?\b"
    r"(?=\s+(?:about|on|of|for|that|which|with|explaining|comparing|describing)\b|\s*[.,:;!?]|\s*$)",
    re.I,
)
_MAKING = re.compile(
    r"\b(write|draft|compose|article|essay|blog|report|summar\w+|research|code|function|script|program)\b", re.I
)
_REFERENCE = re.compile(
    r"\b(it|that|this|them|these|those|above|previous|earlier|last|your (?:answer|code|article|text)|again|shorter|"
    r"longer|continue|now|also|instead|same|the (?:code|function|script|article|text|answer|query))\b",
    re.I,
)


@dataclass(frozen=True)
class CodeBlock:
    language: str
    code: str


def task_of(prompt: Prompt) -> str:
    """Returns the user's wish: the last block of data from `user`, else the last turn without what was added to it."""
    blocks = [match for match in _BLOCK.finditer(prompt.asked) if match["source"] in ("user", "task")]
    if blocks:
        return blocks[-1]["body"].strip()
    return _BLOCK.sub("", _APPENDIX.split(prompt.asked, maxsplit=1)[0]).strip()


def previous_turns(prompt: Prompt) -> list[tuple[str, str]]:
    """Returns pairs of task and answer from earlier in the conversation, oldest first."""
    pairs: list[tuple[str, str]] = []
    question = ""
    for turn in prompt.turns:
        if turn.role == "user":
            question = turn.text
        elif turn.role == "assistant" and question and turn.text:
            pairs.append((question, turn.text))
    return pairs if prompt.turns and not prompt.tool_results else []


def sources_of(prompt: Prompt) -> list[tuple[int, str]]:
    """Returns number and title of the numbered sources in the prompt, those in the model's own answers excepted."""
    found: dict[int, str] = {}
    for turn in prompt.turns:
        if turn.role in ("user", "tool"):
            for number, title in _SOURCE_LINE.findall(turn.text):
                found.setdefault(int(number), title.strip())
    return sorted(found.items())


def untrusted_of(prompt: Prompt) -> str:
    """Returns all text in the prompt that is neither the system's nor the user's own."""
    tools = [turn.text for turn in prompt.turns if turn.role == "tool"]
    blocks = [
        match["body"]
        for turn in prompt.turns
        if turn.role == "user"
        for match in _BLOCK.finditer(turn.text)
        if match["source"] not in ("user", "task", "conversation")
    ]
    return "\n".join([*tools, *blocks])


@lru_cache(maxsize=_REMEMBERED)
def intent_of(task: str) -> Intent:
    """Classifies the work that the text asks for."""
    if solve(task) is not None:
        return Intent.ASK  # before the check for words: a sum may have none
    if is_gibberish(task):
        return Intent.UNCLEAR
    if _PROSE.search(task) and "```" not in task:
        return Intent.WRITE
    # "Write a blog post about baking a cake" is a text, not a cake.
    if _PHYSICAL.search(task) and not _MAKING.search(task):
        return Intent.PHYSICAL
    code, writing = len(_CODE.findall(task)), len(_WRITE.findall(task))
    if code and (code >= writing or "```" in task):
        return Intent.CODE
    if writing:
        return Intent.WRITE
    return Intent.ASK if _ASK.search(task) else Intent.OTHER


def is_gibberish(task: str) -> bool:
    """Returns True for a text without words, or with words that nobody could pronounce or that are keys in a row."""
    words = [word.lower() for word in _WORD.findall(task)]
    if not words:
        return True
    # Only ASCII words: other scripts have vowels that the rule does not know.
    odd = [word for word in words if word.isascii() and _unpronounceable(word)]
    # A sentence without spaces, as in Chinese, is one long word.
    return len(odd) * 2 > len(words) or (len(words) == 1 and len(words[0]) > 14 and words[0].isascii())


def _unpronounceable(word: str) -> bool:
    if len(word) < 4:
        return False
    if any(word in row for row in _KEY_ROWS):
        return True
    return not re.search(r"[aeiouy]", word) or re.search(r"[bcdfghjklmnpqrstvwxz]{5,}", word) is not None


@lru_cache(maxsize=_REMEMBERED)
def language_of(text: str) -> str | None:
    """Returns the programming language that the text names; of "from Python to Go" it is the last."""
    found = [(match.end(), name) for name, pattern in _LANGUAGES for match in re.finditer(pattern, text, re.I)]
    return max(found)[1] if found else None


def code_blocks(text: str) -> list[CodeBlock]:
    return [CodeBlock(match[1].lower(), match[2].rstrip()) for match in _FENCE.finditer(text)]


def refers_back(task: str) -> bool:
    return len(task) < 300 and bool(_REFERENCE.search(task))


def topic_of(task: str) -> str:
    """Returns the subject without the words that ask for it: `Write an article about solar power` → `solar power`."""
    first = re.split(r"(?<=[.!?])\s|\n", task.strip(), maxsplit=1)[0].strip(" .!?\"'")
    topic = _LEAD.sub("", first, count=1).strip(" .,!?\"'")
    topic = re.split(
        r"\s(?:with (?:sources|citations|references)|in \d+ words|and (?:cite|include))\b", topic, flags=re.I
    )[0]
    return (topic or first or "the subject")[:120].rstrip()


def stems(text: str) -> set[str]:
    """Returns the words without stop words, cut to their first five letters, so that kindred forms match."""
    words = (word.lower() for word in _WORD.findall(text))
    return {word[:5] for word in words if not _STOP_WORDS.fullmatch(word)}


def title_case(topic: str) -> str:
    return topic[:1].upper() + topic[1:]


def slug(topic: str) -> str:
    return "-".join(word.lower() for word in re.findall(r"[A-Za-z0-9]+", topic))[:60] or "subject"
