"""The router's answer: the one of the offered agents that fits a task."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from app.simulator.answers.reading import Intent, intent_of, refers_back, stems, task_of, topic_of
from app.simulator.prompt import Prompt

UNKNOWN = "Unknown"
_CODE_AGENT = re.compile(r"cod(?:e|ing)|program|software|develop", re.I)
_WRITING_AGENT = re.compile(r"content|writ|article|research|text", re.I)
_GENERAL_AGENT = re.compile(r"workflow|general|assistant|multi-?step", re.I)
_AGENT_NAME = re.compile(r"\b[A-Z][A-Za-z0-9]*Agent\b")
# A card also names what its agent is not for: docs/adding-an-agent.md advises it.
_NOT_FOR = re.compile(r"\b[Nn]ot for\b[^.]*")
_SPEAKER = re.compile(r"^([A-Z]\w*): ", re.M)
_BASE = {Intent.CODE: 0.93, Intent.WRITE: 0.91, Intent.ASK: 0.78, Intent.OTHER: 0.56}
_KIND = {
    Intent.CODE: "asks for source code or for work on it",
    Intent.WRITE: "asks for a written text or for research",
    Intent.ASK: "is a question that wants an explanation",
    Intent.OTHER: "does not clearly name what should come out",
    Intent.PHYSICAL: "asks for something to be done in the physical world",
    Intent.UNCLEAR: "makes no sense as it stands",
}


@dataclass(frozen=True)
class Choice:
    agent_name: str
    confidence: float
    reasoning: str
    alternatives: tuple[tuple[str, float], ...]


def choose_agent(prompt: Prompt, names: Sequence[str]) -> Choice:
    """Chooses the best of the names; `Unknown` (or the first name, at low confidence) if none fits.

    Names that the schema does not list are taken from the prompt.
    """
    task = task_of(prompt)
    offered = list(names) or sorted(set(_AGENT_NAME.findall(prompt.system)))
    agents = [name for name in offered if name != UNKNOWN]
    intent = intent_of(task)
    if intent in (Intent.PHYSICAL, Intent.UNCLEAR) or not agents:
        nobody = UNKNOWN if UNKNOWN in offered or not agents else agents[0]
        return Choice(nobody, 0.12, f"The task {_KIND[intent]}; no agent offered can do that.", ())
    described = {name: _description(prompt.system, name) for name in agents}
    scores = {name: _score(name, described, task, intent) for name in agents}
    if intent in (Intent.ASK, Intent.OTHER) and refers_back(task):
        # A short follow-up, "make it shorter", belongs to the agent that answered last.
        last = next((name for name in reversed(_SPEAKER.findall(prompt.asked)) if name in scores), None)
        if last is not None:
            scores[last] += 5
    ranked = sorted(agents, key=lambda name: -scores[name])
    best = ranked[0]
    confidence = _BASE[intent] if scores[best] >= 1 else 0.55
    confidence = round(confidence + zlib.crc32(task.encode()) % 5 / 100, 2)
    rest = tuple((name, round((1 - confidence) / (at + 1.2), 2)) for at, name in enumerate(ranked[1:3]))
    reasoning = f"The task {_KIND[intent]} ({topic_of(task)[:80]}), which is what {best} is for."
    return Choice(best, confidence, reasoning, rest)


def _score(name: str, described: dict[str, str], task: str, intent: Intent) -> float:
    text = f"{name} {described[name][:160]}"
    wanted = stems(task)
    own = _claimed(described[name])
    others = set().union(*(_claimed(described[other]) for other in described if other != name))
    refused = stems(" ".join(_NOT_FOR.findall(described[name]))) - own
    shared = wanted & own
    named = wanted & (stems(re.sub("(?<!^)(?=[A-Z])", " ", name)) - {"agent"})
    score = 0.4 * len(shared) + 1.2 * len(shared - others) + 3 * len(named) - 2 * len(wanted & refused)
    if intent is Intent.CODE and _CODE_AGENT.search(text):
        score += 4
    if intent in (Intent.WRITE, Intent.ASK) and _WRITING_AGENT.search(name):
        score += 3
    if intent is Intent.WRITE and _CODE_AGENT.search(name):
        score -= 4  # a text about code shares many words with it
    if intent is Intent.OTHER and _GENERAL_AGENT.search(name):
        score += 1.5
    if intent is Intent.OTHER and _WRITING_AGENT.search(name):
        score += 1
    return score


def _claimed(description: str) -> set[str]:
    """Returns the stems of what an agent is for, without those of what it is not for."""
    return stems(_NOT_FOR.sub("", description))


def _description(system: str, name: str) -> str:
    found = re.search(rf"^.*\b{re.escape(name)}\b[\"'*`]*\s*[:(-](.*)$", system, re.M)
    return found[1].strip() if found else ""
