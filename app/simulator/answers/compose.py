"""One answer to one prompt: text, structured output or tool calls, changed by the scripted faults."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from app.simulator.answers.articles import REMARK, answer_briefly, follow_up, shorten, write_article
from app.simulator.answers.code import answer_code
from app.simulator.answers.obedience import Demands, find_demands, obey_in_text
from app.simulator.answers.reading import (
    Intent,
    intent_of,
    previous_turns,
    refers_back,
    sources_of,
    stems,
    task_of,
    topic_of,
)
from app.simulator.answers.schema import Filler
from app.simulator.answers.short_answers import answer_shortly
from app.simulator.prompt import ANY_TOOL, Answer, Finish, Json, Prompt, ToolOffer, ToolUse, Turn
from app.simulator.scripted_faults import VERBOSE_CHARACTERS, Effect

NO_DEMANDS = Demands()
_REFUSAL = "I'm sorry, but I can't help with that."
_CODE_ROLE = re.compile(r"software engineer|programmer|generate, explain|code agent|codeagent", re.I)
_WRITER_ROLE = re.compile(r"\bwriter\b|article|long-form|content agent|contentagent|researcher", re.I)
_ANY_TOOL_WANTED = re.compile(r"\bcall(?:ing)? one of (?:the|these) tools\b", re.I)
# A request to go on with an answer that was cut off.
_GO_ON = re.compile(r"\banswer was (?:cut off|truncated)\b", re.I)
_SUMMARY_ROLE = re.compile(r"^.{0,200}\bsummar", re.I | re.S)


def compose_answer(
    prompt: Prompt, effects: Collection[Effect], *, seed: str, verbose_characters: int = VERBOSE_CHARACTERS
) -> Answer:
    """Answers the prompt, deterministically in all arguments; the ids of tool calls come from `seed`."""
    prompt, written = _before_the_cut(prompt)
    if Effect.EMPTY in effects:
        return Answer("")
    if Effect.REFUSAL in effects:
        return Answer(_REFUSAL, finish=Finish.REFUSAL)
    demands = find_demands(prompt) if Effect.OBEY_INJECTION in effects else NO_DEMANDS
    calls = _tool_calls(prompt, effects, demands, seed)
    if calls:
        return Answer("", calls, Finish.TOOLS)
    if prompt.schema is not None:
        text = _structured(prompt, prompt.schema, effects, demands)
    else:
        text = obey_in_text(write_text(prompt), demands, system=prompt.system)
        if Effect.VERBOSE in effects:
            return Answer(text.ljust(verbose_characters, "."))
    return _limited(Answer(text.removeprefix(written)), prompt.max_tokens, cut=Effect.LENGTH in effects)


def _before_the_cut(prompt: Prompt) -> tuple[Prompt, str]:
    """Returns the prompt without the request to go on with an answer, and what is written of that answer."""
    *_, answer, request = (Turn("system", ""), Turn("system", ""), *prompt.turns)
    if (answer.role, request.role) != ("assistant", "user") or not _GO_ON.search(request.text):
        return prompt, ""
    return replace(prompt, turns=prompt.turns[:-2]), answer.text


def write_text(prompt: Prompt) -> str:
    """Writes the free text that answers the prompt, with the remark unless the answer is right for certain."""
    task = task_of(prompt)
    short = None if prompt.tool_results else answer_shortly(task)
    return short or f"{_write_at_length(prompt, task)}\n\n{REMARK}"


def _write_at_length(prompt: Prompt, task: str) -> str:
    history = previous_turns(prompt)
    sources = [number for number, _ in sources_of(prompt)]
    if prompt.tool_results:
        return _from_tools(prompt, topic_of(task), sources)
    if _is_code(prompt, task):
        return answer_code(task, history)
    if _SUMMARY_ROLE.search(prompt.system):
        return shorten(task) or task[:300]
    if history and refers_back(task) and not _starts_anew(task):
        return follow_up(task, history[-1][1], sources=sources)
    if intent_of(task) is Intent.ASK and not sources and not _WRITER_ROLE.search(prompt.system):
        return answer_briefly(topic_of(task))
    return write_article(topic_of(task), sources=sources)


def _is_code(prompt: Prompt, task: str) -> bool:
    # Only the head of the system prompt names the role; further down it may mention other agents and their work.
    if _CODE_ROLE.search(prompt.system[:600]):
        return True
    return intent_of(task) is Intent.CODE and not _WRITER_ROLE.search(prompt.system[:600])


def _starts_anew(task: str) -> bool:
    return bool(re.match(r"\s*(?:please )?(?:write|create|research) (?:an?|some|the) (?!short)", task, re.I))


def _from_tools(prompt: Prompt, topic: str, sources: Sequence[int]) -> str:
    found = " ".join(" ".join(prompt.tool_results).split())
    return f"Based on what the tools returned about {topic}: {found[:400]}\n\n{answer_briefly(topic, sources=sources)}"


def _structured(prompt: Prompt, schema: Json, effects: Collection[Effect], demands: Demands) -> str:
    if Effect.WRONG_SCHEMA in effects:
        return '{"unexpected":true}'
    text = json.dumps(_filled(prompt, schema, effects, demands), ensure_ascii=False)
    return text[: max(1, len(text) // 2)] if Effect.BROKEN_JSON in effects else text


def _filled(prompt: Prompt, schema: Json, effects: Collection[Effect], demands: Demands) -> Json:
    filler = Filler(
        prompt,
        schema,
        write=lambda: obey_in_text(write_text(prompt), demands, system=prompt.system),
        urls=demands.urls,
        unsure=Effect.UNSURE in effects,
    )
    value: Json = filler.fill()
    wished = "NobodyAgent" if Effect.UNKNOWN_AGENT in effects else demands.agent
    if wished and "agent_name" in value:
        value["agent_name"] = wished
    return value


def _tool_calls(prompt: Prompt, effects: Collection[Effect], demands: Demands, seed: str) -> tuple[ToolUse, ...]:
    if Effect.BAD_TOOL in effects and not prompt.tool_results:
        return (ToolUse(f"call_{seed}_0", "no_such_tool", {}),)
    # At most three rounds of obedience: a gullible model must end, too.
    if prompt.tools and demands.tools and len(prompt.tool_results) < 3:
        wanted = [
            (name, {"input": demands.sentences[0], "url": next(iter(demands.urls), "")}) for name in demands.tools
        ]
        return tuple(ToolUse(f"call_{seed}_{at}", name, arguments) for at, (name, arguments) in enumerate(wanted))
    tool = _chosen_tool(prompt, loop=Effect.TOOL_LOOP in effects)
    if tool is None:
        return ()
    arguments = _filled(prompt, tool.parameters, effects, demands)
    if Effect.WRONG_SCHEMA in effects or Effect.BROKEN_JSON in effects:
        arguments = {"unexpected": True}
    return (ToolUse(f"call_{seed}_0", tool.name, arguments),)


def _chosen_tool(prompt: Prompt, *, loop: bool) -> ToolOffer | None:
    """Chooses the tool that has to be called, or one that fits; none if tools have answered since the user's text."""
    if not prompt.tools:
        return None
    forced = prompt.forced_tool or (ANY_TOOL if _ANY_TOOL_WANTED.search(prompt.system) else None)
    if forced is not None:
        return _forced_tool(prompt, forced)
    if loop:
        return prompt.tools[0]
    if prompt.tool_results:
        return None
    for tool in prompt.tools:
        if re.search(rf"\bcall(?:ing)? (?:the )?(?:tool|function) {re.escape(tool.name)}\b", prompt.system):
            return tool
    return _fitting_tool(prompt.tools, task_of(prompt))


def _forced_tool(prompt: Prompt, forced: str) -> ToolOffer | None:
    """Chooses the tool of that name; of any tools each one once, in the order of the offer, then the last one again."""
    named = [tool for tool in prompt.tools if forced in (ANY_TOOL, tool.name)]
    return next(iter(named[len(prompt.tool_results) :] or named[-1:]), None)


def _fitting_tool(tools: Sequence[ToolOffer], task: str) -> ToolOffer | None:
    wanted = stems(task)
    research = intent_of(task) in (Intent.WRITE, Intent.ASK)

    def fit(tool: ToolOffer) -> int:
        words = stems(f"{tool.name.replace('_', ' ')} {tool.description}")
        return 2 * len(wanted & words) + (1 if research and "search" in tool.name else 0)

    best = max(tools, key=fit)
    return best if fit(best) else None


def _limited(answer: Answer, max_tokens: int | None, *, cut: bool) -> Answer:
    """Shortens the answer to `max_tokens`, and to half of it if a length stop is wanted."""
    limit = len(answer.text) // 2 if cut else len(answer.text)
    limit = min(limit, 4 * max_tokens) if max_tokens else limit
    if limit >= len(answer.text):
        return answer
    return replace(answer, text=answer.text[:limit], finish=Finish.LENGTH)
