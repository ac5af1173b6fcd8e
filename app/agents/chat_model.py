"""The gateway as a chat model of LangChain: agents, tools and graphs that are written for LangChain run on it.

Each call is a step of the journal. Its key holds the hash of its inputs, so that branches of a graph that run side by
side find their own steps, whatever their order is. What the gateway cannot do raises an error with the remedy: an
option that is dropped in silence would change what an agent does.

There is no streaming: LangChain's `astream` gives the whole answer in one piece. A step is recorded as a whole, and an
answer that is found again has no pieces.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, JsonValue, PrivateAttr

from app.agents.base import AgentContext, run_step
from app.llm.interface import ChatMessage, Completion, ModelRole, ToolCall, ToolSpec

STEP_NODE = "model"
# `strict` promises arguments that fit their schema. LangChain validates them before a tool runs, with or without it.
# The other one is a note of `with_structured_output` for LangChain's traces.
_WITHOUT_EFFECT = frozenset({"strict", "ls_structured_output_format"})
# Blocks that repeat what `AIMessage.tool_calls` has.
_CALL_BLOCKS = frozenset({"tool_call", "tool_use"})
_NO_PARAMETERS: Mapping[str, JsonValue] = {"type": "object", "properties": {}}

Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool


@dataclass(frozen=True)
class Offer:
    """The tools of a call; with `must_call` the answer is a call of one of them."""

    tools: tuple[ToolSpec, ...] = ()
    must_call: bool = False


@dataclass(frozen=True)
class ChatCall:
    """One call, complete: its fields are all that the answer depends on. The text ends before a `stop` sequence."""

    role: ModelRole
    messages: tuple[ChatMessage, ...]
    offer: Offer
    stop: tuple[str, ...]


class RecordedToolCall(BaseModel):
    """A tool call of the answer, with the vendor's id."""

    id: str
    name: str
    arguments: dict[str, JsonValue]


class RecordedAnswer(BaseModel):
    """The output of the step. A failed task keeps the newest `content` as its partial answer.

    `cut_off` is the value of a `CutOff`, None for a whole answer and for one that an older version recorded.
    """

    id: str
    content: str
    tool_calls: list[RecordedToolCall] = []
    served_model: str
    truncated: bool
    cut_off: str | None = None
    input_tokens: int
    output_tokens: int


class GatewayChatModel(BaseChatModel):
    """The models of one role, for one run; `AgentContext.chat_model` builds it."""

    role: ModelRole
    _context: AgentContext = PrivateAttr()

    def __init__(self, context: AgentContext, *, role: ModelRole) -> None:
        # LangChain's cache belongs to the process: it would answer one tenant from another one's call, without a step.
        super().__init__(role=role, cache=False)
        self._context = context

    @property
    def _llm_type(self) -> str:
        return "gateway"

    def bind_tools(
        self, tools: Sequence[Tool], *, tool_choice: str | bool | Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Returns the model with tools. `tool_choice` is a word of LangChain or OpenAI, or the name of a tool.

        A name offers this tool alone. Raises ValueError for a tool or a choice that the gateway does not have, and
        TypeError for other options.
        """
        _refuse_options(kwargs)
        converted = [convert_to_openai_tool(tool) for tool in tools]
        build_offer(converted, tool_choice)  # here, too, because the author's own line is then in the traceback
        return self.bind(tools=converted, tool_choice=tool_choice)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> NoReturn:
        raise NotImplementedError(
            "A synchronous call would stop all runs of the worker until it is answered. Call `ainvoke` (or `abatch`, "
            "`astream`) of the model, the chain or the graph."
        )

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 LangChain's
        *,
        tools: Sequence[Tool] = (),
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        _refuse_options(kwargs)
        call = ChatCall(
            role=self.role,
            messages=tuple(to_chat_message(message) for message in messages),
            offer=build_offer(tools, tool_choice),
            stop=tuple(stop or ()),
        )
        output = await run_step(
            self._context, lambda: self._ask(call), node=STEP_NODE, inputs=asdict(call), found_by_inputs=True
        )
        message = to_ai_message(RecordedAnswer.model_validate(output))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _ask(self, call: ChatCall) -> dict[str, Any]:
        llm, offer = self._context.llm, call.offer
        completion: Completion[BaseModel] = (
            await llm.with_tools(call.messages, role=call.role, tools=offer.tools, must_call=offer.must_call)
            if offer.tools
            else await llm.chat(call.messages, role=call.role)
        )
        return to_recorded(completion, call.stop).model_dump()


def to_chat_message(message: BaseMessage) -> ChatMessage:
    """Converts a message of LangChain. Raises ValueError for a class or a content that models do not get from here."""
    text = _text_of(message)
    match message:
        case SystemMessage():
            return ChatMessage("system", text)
        case HumanMessage():
            return ChatMessage("user", text)
        case AIMessage():
            calls = tuple(ToolCall(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls)
            return ChatMessage("assistant", text, tool_calls=calls)
        case ToolMessage():
            return ChatMessage("tool", text, tool_call_id=message.tool_call_id)
    raise ValueError(
        f"A {type(message).__name__} cannot be sent to a model of the gateway. Send SystemMessage, HumanMessage, "
        "AIMessage or ToolMessage."
    )


def _text_of(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_text_of_block(block, message) for block in message.content)


def _text_of_block(block: str | dict[str, Any], message: BaseMessage) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type")
    if kind == "text":
        return str(block["text"])
    if kind in _CALL_BLOCKS and isinstance(message, AIMessage):
        return ""
    raise ValueError(
        f"Models of the gateway read text only, and a {type(message).__name__} has a block of the type {kind!r}. "
        "Describe it in text, or leave it out."
    )


def build_offer(tools: Sequence[Tool], choice: str | bool | Mapping[str, Any] | None) -> Offer:
    """Builds the tools of a call. Raises ValueError for a tool that is no function, and for a choice of none."""
    specs = tuple(_to_spec(convert_to_openai_tool(tool)) for tool in tools)
    wanted = choice
    if isinstance(choice, Mapping):  # a named function in the form of OpenAI, or a word as Anthropic's `type`
        wanted = choice.get("function", choice).get("name", choice.get("type"))
    match wanted:
        case None | False | "auto":
            return Offer(specs)
        case "none":
            return Offer()
        case True | "any" | "required":
            chosen = specs
        case name:
            chosen = tuple(spec for spec in specs if spec.name == name)
    if not chosen:
        names = ", ".join(spec.name for spec in specs) or "none"
        raise ValueError(f"tool_choice is {choice!r}, and the tools that are offered are: {names}. Name one of them.")
    return Offer(chosen, must_call=True)


def _to_spec(tool: Mapping[str, Any]) -> ToolSpec:
    if tool["type"] != "function":
        raise ValueError(
            f"A tool of the type {tool['type']!r} runs at one vendor, and the gateway may ask another one. Offer a "
            "function that does the same."
        )
    function = tool.get("function", tool)
    return ToolSpec(function["name"], function.get("description", ""), function.get("parameters") or _NO_PARAMETERS)


def _refuse_options(options: Mapping[str, Any]) -> None:
    unknown = sorted(options.keys() - _WITHOUT_EFFECT)
    if unknown:
        raise TypeError(
            f"A model of the gateway does not take {', '.join(unknown)}. It takes tools, tool_choice and stop. All "
            "else is a setting of its role, because every model of the chain has to accept it."
        )


def to_recorded(completion: Completion[BaseModel], stop: Sequence[str]) -> RecordedAnswer:
    """Builds the output of the step, which ends before the first stop sequence."""
    # Cut here, because OpenAI's models that think and its responses endpoint take no stop sequences.
    end = min((at for at in map(completion.text.find, filter(None, stop)) if at >= 0), default=None)
    stopped = end is not None
    cut_off = None if stopped else completion.cut_off
    return RecordedAnswer(
        id=str(uuid.uuid4()),
        content=completion.text[:end],
        # A model that stops there does not come to its calls.
        tool_calls=[] if stopped else [RecordedToolCall(**asdict(call)) for call in completion.tool_calls],
        served_model=completion.served_model,
        truncated=cut_off is not None,
        cut_off=None if cut_off is None else cut_off.value,
        input_tokens=completion.usage.input_tokens,
        output_tokens=completion.usage.output_tokens,
    )


def to_ai_message(answer: RecordedAnswer) -> AIMessage:
    """Builds the message, the same for an answer that is found again. `finish_reason` is a word of OpenAI."""
    reason = {} if answer.cut_off is None else {"cut_off": answer.cut_off}
    finish = "length" if answer.truncated else "tool_calls" if answer.tool_calls else "stop"
    return AIMessage(
        id=answer.id,
        content=answer.content,
        tool_calls=[tool_call(id=call.id, name=call.name, args=call.arguments) for call in answer.tool_calls],
        usage_metadata=UsageMetadata(
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            total_tokens=answer.input_tokens + answer.output_tokens,
        ),
        response_metadata={"model_name": answer.served_model, "finish_reason": finish, **reason},
    )
