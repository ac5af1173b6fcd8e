"""A JSON value for any JSON schema: valid in any case, and plausible if the name of a field explains it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.simulator.answers.articles import first_sentence
from app.simulator.answers.reading import Intent, intent_of, language_of, stems, task_of, title_case, topic_of
from app.simulator.answers.routing import Choice, choose_agent
from app.simulator.answers.short_answers import answer_shortly
from app.simulator.prompt import Json, Prompt

_DEEPEST = 8  # a schema may refer to itself: below this depth only required fields are filled
_AGENT_FIELD = re.compile(r"^(selected_?)?agent(_?name)?$")
_FICTION = re.compile(r"\b(poem|haiku|limerick|fiction|fairy tale|short story|joke)\b", re.I)
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


@dataclass
class Filler:
    """One schema to fill for one prompt. `write` returns the full text of the answer, for fields that hold it."""

    prompt: Prompt
    root: Json
    write: Callable[[], str]
    urls: Sequence[str] = ()
    unsure: bool = False

    def fill(self) -> Any:
        return self._value(self.root, "", 0)

    @cached_property
    def task(self) -> str:
        return task_of(self.prompt)

    @cached_property
    def topic(self) -> str:
        return topic_of(self.task)

    @cached_property
    def needs_facts(self) -> bool:
        """Returns False for a task that a writer fulfils without knowing anything of the world."""
        return answer_shortly(self.task) is None and not _FICTION.search(self.task)

    @cached_property
    def choice(self) -> Choice:
        return choose_agent(self.prompt, self._agent_names(self.root, 0))

    def _value(self, schema: Json, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._pick(schema["enum"], name)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("number", "integer"):
            return self._number(schema, name, whole=kind == "integer")
        if kind == "boolean":
            return self._truth(name)
        return None if kind == "null" else self._string(schema, name)

    def _resolved(self, schema: Json) -> Json:
        """Follows references, takes the first alternative that is not null, and merges what all must match."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                target: Any = self.root
                for part in schema["$ref"].removeprefix("#/").split("/"):
                    target = target[part] if part and part != "#" else target
                schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
            elif "anyOf" in schema or "oneOf" in schema:
                options = schema.get("anyOf") or schema["oneOf"]
                schema = next((option for option in options if option.get("type") != "null"), options[0])
            elif "allOf" in schema:
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    rest |= self._resolved(part)
                schema = rest
            else:
                break
        return schema

    def _object(self, schema: Json, depth: int) -> Json:
        properties: Json = schema.get("properties", {})
        if depth > _DEEPEST:
            properties = {name: properties[name] for name in schema.get("required", ()) if name in properties}
        return {name: self._value(part, name, depth + 1) for name, part in properties.items()}

    def _array(self, schema: Json, name: str, depth: int) -> list[Any]:
        items: Json = self._resolved(schema.get("items", {}))
        least, most = schema.get("minItems", 0), schema.get("maxItems", 20)
        if depth > _DEEPEST:
            # A schema that demands itself as an item can never be filled; better invalid than endless.
            most = least if depth < 2 * _DEEPEST else 0
        if most == 0:
            return []
        if "alternative" in name:
            values = self._alternatives(items)
        elif items.get("type") == "string" and "enum" not in items:
            values = [self._fitted(items, text) for text in self._strings(name)]
        else:
            values = [self._value(items, name.removesuffix("s"), depth + 1)]
        while len(values) < least:
            values.append(self._value(items, name.removesuffix("s"), depth + 1))
        return values[:most]

    def _alternatives(self, items: Json) -> list[Any]:
        if items.get("type") != "object":
            return [name for name, _ in self.choice.alternatives]
        values = []
        for agent, confidence in self.choice.alternatives:
            value = self._object(items, 1)
            for key in value:
                if _AGENT_FIELD.match(key) or key == "name":
                    value[key] = agent
                elif key in ("confidence", "score", "probability"):
                    value[key] = confidence
                elif isinstance(value[key], str):
                    value[key] = f"{agent} could take it if the first choice is not available."
            values.append(value)
        return values

    def _pick(self, options: Sequence[Any], name: str) -> Any:
        if _AGENT_FIELD.match(name):
            return self.choice.agent_name if self.choice.agent_name in options else options[0]
        if "language" in name and language_of(self.task) in options:
            return language_of(self.task)
        wanted = stems(self.task)
        return max(options, key=lambda option: len(wanted & stems(str(option).replace("_", " "))))

    def _number(self, schema: Json, name: str, *, whole: bool) -> float | int:
        value: float = 3 if whole else 0.8
        if name in ("confidence", "score", "probability", "certainty"):
            value = min(0.2, self.choice.confidence) if self.unsure else self.choice.confidence
        limits: dict[str, float] = schema
        step = 1 if whole else 0.001  # the distance to an exclusive bound
        low = limits.get("minimum", limits.get("exclusiveMinimum", -math.inf) + step)
        high = limits.get("maximum", limits.get("exclusiveMaximum", math.inf) - step)
        value = min(max(value, low), high)
        return int(value) if whole else value

    def _truth(self, name: str) -> bool:
        if "search" in name or "research" in name:
            return self.needs_facts and intent_of(self.task) in (Intent.WRITE, Intent.ASK, Intent.OTHER)
        return not name.startswith(("is_unsafe", "refus", "error"))

    def _string(self, schema: Json, name: str) -> str:
        if "format" in schema:
            return _FORMATS.get(schema["format"], "")
        return self._fitted(schema, self._text(name))

    def _text(self, name: str) -> str:
        if _AGENT_FIELD.match(name):
            return self.choice.agent_name
        if re.search(r"reason|rationale|thought|justif|why", name):
            return self.choice.reasoning if self._agent_names(self.root, 0) else f"This serves the task: {self.topic}."
        if "language" in name:
            return language_of(self.task) or ("python" if intent_of(self.task) is Intent.CODE else "en")
        if re.search(r"url|link|href", name):
            return self.urls[0] if self.urls else "https://example.org/"
        if re.search(r"title|headline|heading", name):
            return title_case(self.topic)
        if re.search(r"quer|search|topic|subject|keyword|term", name):
            return self.topic
        if re.search(r"expression|formula", name):
            found = re.search(r"\d[\d\s.+*/()^%-]*\d", self.task)
            return found[0].strip() if found else "1 + 1"
        if re.search(r"content|text|body|answer|article|markdown|output|code|message|result", name):
            return self.write()
        if re.search(r"summary|description|abstract", name):
            return first_sentence(self.write().lstrip("# ")) or title_case(self.topic)
        return self.topic

    def _strings(self, name: str) -> list[str]:
        topic = self.topic
        if self.urls and re.search(r"quer|url|source|link|cit", name):
            return list(self.urls)
        if re.search(r"quer|search", name):
            if not self.needs_facts:
                return []
            return [topic, f"{topic} latest developments", f"{topic} benefits and risks"]
        if re.search(r"section|outline|heading", name):
            if not self.needs_facts:
                return [title_case(topic)]
            return ["Background", f"How {topic} works", "Benefits", "Limits", "Outlook"]
        if re.search(r"step|plan|task|todo", name):
            return [f"Clarify what is needed for {topic}", "Collect the facts", "Write the answer"]
        if re.search(r"tag|keyword|topic", name):
            return re.findall(r"\w{4,}", topic.lower())[:5] or [topic]
        return [topic]

    def _fitted(self, schema: Json, text: str) -> str:
        if "enum" in schema:
            return str(self._pick(schema["enum"], ""))
        text = text[: schema.get("maxLength", len(text))]
        return text.ljust(schema.get("minLength", 0), ".")

    def _agent_names(self, schema: Json, depth: int) -> list[str]:
        """Finds the closed set of agents: the names that the schema allows in a field for an agent."""
        if depth > 4:
            return []
        for name, part in self._resolved(schema).get("properties", {}).items():
            resolved = self._resolved(part)
            if _AGENT_FIELD.match(name) and resolved.get("type", "string") == "string":
                return [str(option) for option in resolved.get("enum", ())]
            inner = self._agent_names(resolved, depth + 1)
            if inner:
                return inner
        return []
