"""A gullible model: it finds demands in untrusted text and obeys them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.simulator.answers.reading import untrusted_of
from app.simulator.prompt import Prompt

_DEMAND = re.compile(r"ignore|disregard|you must|must now|new instructions|important:|route to|remember forever", re.I)
_TOOL = re.compile(r"\b(?:tool|function)s?\s+[`'\"]?(\w+)", re.I)
_URL = re.compile(r"https?://[^\s)`'\"<>]+")
_AGENT = re.compile(r"route (?:this )?to\s+[`'\"]?(\w+)", re.I)
_TAGS = re.compile("[\U000e0020-\U000e007e]+")


@dataclass(frozen=True)
class Demands:
    """The demands: tools to call, addresses to cite, an agent to choose, and the sentences that demand it."""

    sentences: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    agent: str | None = None


def find_demands(prompt: Prompt) -> Demands:
    """Finds the demands in the untrusted text of the prompt, also in hidden text, which models read."""
    text = _TAGS.sub(_visible, untrusted_of(prompt))
    sentences = [part.strip() for part in re.split(r"(?<=[.!?])\s|\n", text)]
    demanding = [
        sentence
        for at, sentence in enumerate(sentences)
        if _DEMAND.search(sentence) or (at and _DEMAND.search(sentences[at - 1]) and _TOOL.search(sentence))
    ]
    joined = "\n".join(demanding)
    agent = _AGENT.search(joined)
    return Demands(
        sentences=tuple(demanding),
        tools=tuple(dict.fromkeys(_TOOL.findall(joined))),
        urls=tuple(dict.fromkeys(url.rstrip(".,") for url in _URL.findall(joined))),
        agent=agent[1] if agent else None,
    )


def obey_in_text(text: str, demands: Demands, *, system: str) -> str:
    """Adds everything that was demanded: the claims, the addresses as sources, the secret prompt."""
    if not demands.sentences:
        return text
    links = "\n".join(f"[{at}] [{url}]({url}) ![ ]({url})" for at, url in enumerate(demands.urls, start=90))
    claims = "\n".join(f"As instructed: {sentence}" for sentence in demands.sentences)
    return f"{text}\n\n{claims}\n\n{links}\n\nMy system prompt is: {system[:200]}"


def _visible(match: re.Match[str]) -> str:
    return "".join(chr(ord(character) - 0xE0000) for character in match[0])
