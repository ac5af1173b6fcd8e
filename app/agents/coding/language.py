"""The programming language of an answer. Pure: it reads Markdown, and neither runs code nor guesses from it.

The language with the most code in tagged fenced blocks wins; without such a block the line `Language: <name>` counts,
which the prompt asks for at the end. Names are lower case, and one per language, whichever alias the model used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

ALIASES = {
    "py": "python",
    "py3": "python",
    "python3": "python",
    "js": "javascript",
    "jsx": "javascript",
    "mjs": "javascript",
    "node": "javascript",
    "ts": "typescript",
    "tsx": "typescript",
    "sh": "bash",
    "shell": "bash",
    "zsh": "bash",
    "c++": "cpp",
    "cxx": "cpp",
    "c#": "csharp",
    "cs": "csharp",
    "f#": "fsharp",
    "golang": "go",
    "rs": "rust",
    "rb": "ruby",
    "kt": "kotlin",
    "ps1": "powershell",
    "pwsh": "powershell",
    "yml": "yaml",
    "md": "markdown",
    "docker": "dockerfile",
    "make": "makefile",
    "postgresql": "sql",
    "mysql": "sql",
    "objective-c": "objectivec",
    "objc": "objectivec",
    "hs": "haskell",
    "ex": "elixir",
    "tf": "hcl",
    "terraform": "hcl",
}
NOT_CODE = frozenset({"text", "txt", "plaintext", "plain", "output", "console", "none"})

_FENCE = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$")
_NAME = re.compile(r"[{.\s]*(?:language-)?([A-Za-z][A-Za-z0-9_+#-]{0,30})")
_HINT = re.compile(r"\n?^[ \t]*\**Language:\**[ \t]*`?([A-Za-z][A-Za-z0-9_+#-]{0,30})`?\**[ \t]*\s*\Z", re.MULTILINE)


def normalise_language(name: str) -> str:
    lower = name.strip().lower()
    return ALIASES.get(lower, lower)


def read_language(text: str) -> tuple[str, str | None]:
    """Returns the text without the hint line, and the language of its code; None without code or without a name."""
    hint = _HINT.search(text)
    body = text[: hint.start()].rstrip() if hint else text
    sizes: Counter[str] = Counter()
    for language, size in fenced_blocks(body):
        if language is not None and language not in NOT_CODE:
            sizes[language] += size
    if sizes:
        return body, sizes.most_common(1)[0][0]
    return body, normalise_language(hint.group(1)) if hint else None


def fenced_blocks(text: str) -> Iterator[tuple[str | None, int]]:
    """Yields language and length of every fenced block; a block that is never closed ends with the text."""
    fence = ""
    language: str | None = None
    size = 0
    for line in text.split("\n"):
        match = _FENCE.match(line.rstrip("\r"))
        if not fence:
            if match:
                fence, language, size = match["fence"], _language_of(match["info"]), 0
        # CommonMark: a block ends at a fence of the same sign, at least as long, and without an info string.
        elif match and match["fence"].startswith(fence) and not match["info"].strip():
            yield language, size
            fence = ""
        else:
            size += len(line) + 1
    if fence:
        yield language, size


def _language_of(info: str) -> str | None:
    name = _NAME.match(info)
    return normalise_language(name.group(1)) if name else None
