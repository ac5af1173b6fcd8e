"""Long-form text: articles with citations, brief answers, and work on an earlier text."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from app.simulator.answers.reading import title_case

# It ends every answer that may be wrong: nobody may take it for the answer of a model.
REMARK = (
    "*This answer comes from the simulator; with the key of a model provider, such as OPENAI_API_KEY, "
    "a real model gives a real answer.*"
)
_OPENINGS: Sequence[str] = (
    "Few subjects show as clearly as {topic} how an idea moves from the margin to the middle of everyday decisions. "
    "What began as a concern of specialists now shapes budgets, habits and expectations.",
    "Anyone who looks at {topic} for the first time meets strong claims and few explanations. This text sorts them: "
    "what is established, what is likely, and what is only hoped for.",
    "The story of {topic} is often told as a success or as a warning. It is more useful to see it as a series of "
    "choices, each with a price, made by people with different goals.",
)
_SECTIONS: Sequence[tuple[str, Sequence[str]]] = (
    (
        "Where it comes from",
        (
            "The roots of {topic} lie in practical problems rather than in theory. Early attempts were small, local "
            "and expensive; they survived because they solved something that nothing else solved.",
            "Standards came later. Once people could compare results, methods that had been matters of taste became "
            "matters of evidence, and costs began to fall.",
        ),
    ),
    (
        "How it works in practice",
        (
            "In practice three things decide about success: a clear goal, a way to measure progress, and somebody who "
            "is responsible. Where one of them is missing, {topic} tends to stay a pilot project.",
            "A sensible first step is small enough to be undone. It shows within weeks whether the assumptions hold, "
            "and it produces the numbers that a larger decision needs.",
        ),
    ),
    (
        "What speaks for it",
        (
            "The strongest argument for {topic} is not speed but reliability: good practice makes results repeatable. "
            "People who work with it report fewer surprises and better conversations about priorities.",
            "There are indirect benefits as well. Knowledge that used to sit in a few heads becomes visible, and "
            "newcomers contribute sooner.",
        ),
    ),
    (
        "What speaks against it",
        (
            "The objections deserve to be taken seriously. {title} needs attention and money before it gives anything "
            "back, and the benefits do not always reach those who carry the cost.",
            "There is also a risk of measuring what is easy instead of what matters. A fixed date to review the goals "
            "is a simple protection against that.",
        ),
    ),
    (
        "What to watch next",
        (
            "Over the next years three developments will matter most for {topic}: clearer rules, cheaper tools, and "
            "the first results that cover a long time. None of them is certain.",
            "Whoever decides today does well to keep options open: choose what can be exchanged, write down why, and "
            "look again when the facts change.",
        ),
    ),
)
_CLOSINGS: Sequence[str] = (
    "In the end {topic} is neither a cure nor a fashion. Used with a clear purpose it is a tool like others: useful in "
    "careful hands, and disappointing where it replaces thinking.",
    "The sober summary: {topic} rewards patience. Start small, measure honestly, and let the results decide how far "
    "to go.",
)


_COUNTS = {"one": 1, "1": 1, "two": 2, "2": 2, "three": 3, "3": 3, "four": 4, "4": 4, "five": 5, "5": 5}
# After such a word the count is a wish for the whole text; "add two paragraphs" is none.
_LENGTH = re.compile(
    r"\b(?:in|to|into|as|it|a|only|just|exactly|most)\s+"
    rf"(?P<count>{'|'.join(_COUNTS)})[\s-]+(?:[\w-]+\s+)?(?P<unit>sentence|paragraph)s?\b",
    re.I,
)
_SENTENCES_PER_PARAGRAPH = 4


def write_article(topic: str, *, sources: Sequence[int] = ()) -> str:
    """Writes a Markdown article of about 500 words that cites each of the numbered sources at least once."""
    seed = zlib.crc32(topic.lower().encode())
    words = {"topic": topic, "title": title_case(topic)}
    cite = _Citations(sources)
    paragraphs = [f"# {title_case(topic)}", _OPENINGS[seed % len(_OPENINGS)].format_map(words) + cite.next()]
    for heading, texts in _SECTIONS:
        paragraphs.append(f"## {heading}")
        paragraphs += [text.format_map(words) + cite.next() for text in texts]
    # The rest goes to the end: a caller that gave many sources must find each of them cited.
    paragraphs += ["## Conclusion", _CLOSINGS[seed % len(_CLOSINGS)].format_map(words) + cite.rest()]
    return "\n\n".join(paragraphs)


def answer_briefly(topic: str, *, sources: Sequence[int] = ()) -> str:
    """Writes two paragraphs, for a question."""
    words = {"topic": topic, "title": title_case(topic)}
    cite = _Citations(sources)
    first = f"In short: {_SECTIONS[1][1][0].format_map(words)}{cite.next()}"
    return f"{first}\n\n{_SECTIONS[2][1][0].format_map(words)}{cite.rest()}"


def shorten(text: str, *, sentences: int = 6) -> str:
    """Returns the first sentences of the first paragraphs of the text."""
    return " ".join(first_sentence(paragraph) for paragraph in prose_of(text)[:sentences])


def prose_of(text: str) -> list[str]:
    """Returns the paragraphs of the text, without headings, code, quoted notes, the list of sources and the remark."""
    paragraphs = [part.strip() for part in text.split("\n## Sources\n")[0].split("\n\n")]
    return [part for part in paragraphs if part and part != REMARK and not part.startswith(("#", "```", ">"))]


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0][:300]


def follow_up(task: str, previous: str, *, sources: Sequence[int] = ()) -> str:
    """Works on an earlier answer: shortens it or lists its points if asked to, else continues from its beginning."""
    wanted = _LENGTH.search(task)
    if wanted is not None:
        return _resized(previous, _COUNTS[wanted["count"].lower()], wanted["unit"].lower())
    if re.search(r"short|brief|summar|condens|tl;?dr|kürz", task, re.I):
        return f"Here is a shorter version of the previous answer:\n\n{shorten(previous)}"
    if re.search(r"bullet|list|points", task, re.I):
        points = [first_sentence(paragraph) for paragraph in prose_of(previous)]
        return "The previous answer as a list:\n\n" + "\n".join(f"- {point}" for point in points[:8])
    subject = heading_of(previous)
    return (
        f"Following up on the previous answer about {subject}, which said: “{first_sentence(body_of(previous))}”\n\n"
        f"{answer_briefly(subject, sources=sources)}\n\n"
        f"With that in mind, on your further wish ({' '.join(task.split())[:160]}): the points above stay valid, and "
        f"the practical consequence is to apply them step by step to {subject}."
    )


def _resized(text: str, count: int, unit: str) -> str:
    """Writes as many sentences or paragraphs as wanted, if the text has enough of them."""
    if unit == "sentence":
        return shorten(text, sentences=count)
    sentences = [first_sentence(paragraph) for paragraph in prose_of(text)][: count * _SENTENCES_PER_PARAGRAPH]
    size = max(1, -(-len(sentences) // count))
    return "\n\n".join(" ".join(sentences[at : at + size]) for at in range(0, len(sentences), size))


def heading_of(text: str) -> str:
    found = re.search(r"^#+\s*(.+)$", text, re.M)
    return found[1].strip() if found else first_sentence(body_of(text)).rstrip(".")[:80]


def body_of(text: str) -> str:
    return "\n\n".join(prose_of(text))


class _Citations:
    """The numbers of the sources that are still to be cited, one per paragraph."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._left = list(numbers)

    def next(self) -> str:
        return f" [{self._left.pop(0)}]" if self._left else ""

    def rest(self) -> str:
        marks = "".join(f" [{number}]" for number in self._left)
        self._left.clear()
        return marks
