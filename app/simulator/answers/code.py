"""Answers to code tasks: generate, explain, refactor, port, and add tests; also for the code of an earlier answer."""

from __future__ import annotations

import ast
import re

from app.simulator.answers import library
from app.simulator.answers.reading import CodeBlock, code_blocks, language_of, refers_back

_EXPLAIN = re.compile(r"\bexplain|what (?:does|is)|how does|walk me through|describe|understand|erklär", re.I)
_REFACTOR = re.compile(r"\brefactor|clean ?up|improve|simplif|optimi[sz]e|review|rewrite|modernis|more readable", re.I)
_TESTS = re.compile(r"\b(?:add|write|with|include) (?:some |unit )*tests?\b|\bunit tests?\b", re.I)
_ANEW = re.compile(
    r"\W*(?:now |please )*(?:write|create|implement|give me|build|make)\s+(?:me\s+)?(?:an?|the|another)\b", re.I
)
_PYTHON_FUNCTION = re.compile(r"^(?:async )?def (\w+)\(([^)]*)\)", re.M)
_ANY_FUNCTION = re.compile(r"\b(?:def|function|func|fn)\s+(?:\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)")


def answer_code(task: str, history: list[tuple[str, str]]) -> str:
    """Answers a code task; `history` has earlier tasks and answers, oldest first."""
    pasted = code_blocks(task) or _bare_code(task)
    earlier = [block for _, answer in history for block in code_blocks(answer)]
    block = pasted[-1] if pasted else None
    # Code in the task itself wins over code of an earlier answer.
    if block is None and earlier and refers_back(task) and not _begins_anew(task):
        return _continue(task, history, earlier[-1])
    if block is not None and _EXPLAIN.search(task):
        return explain(block)
    if block is not None and _TESTS.search(task):
        return _add_tests(block)
    if block is not None:
        return refactor(block)
    return generate(task, language_of(task) or (earlier[-1].language if earlier else "python"))


def _begins_anew(task: str) -> bool:
    """Returns True for a problem of its own, also with words such as "that", which else refer to an earlier answer."""
    return bool(_ANEW.match(task)) and not _TESTS.search(task) and library.find(task, library.FALLBACK_LANGUAGE).fits


def generate(task: str, language: str) -> str:
    solution = library.find(task, language)
    return (
        f"{_opening(solution, language)}\n\n"
        f"```{solution.language}\n{solution.code}\n```\n\n"
        f"**How it works.** {solution.notes}\n\n"
        f"**Assumptions.** Only the standard library is used, and the input fits into memory."
    )


def _opening(solution: library.Solution, language: str) -> str:
    wanted, given = library.display_name(language), library.display_name(solution.language)
    if not solution.fits:
        return f"The simulator has no solution of this task, so this is only a sample of code, in {given}."
    if solution.language != language:
        return f"The simulator has no solution of this task in {wanted}. Here is a complete one in {given}."
    return f"Here is a complete solution in {given}."


def explain(block: CodeBlock) -> str:
    functions = _ANY_FUNCTION.findall(block.code)
    names = ", ".join(f"`{name}`" for name, _ in functions)
    what = f"defines {names}" if names else "runs its statements from top to bottom"
    lines = [f"This {block.language or 'code'} snippet {what}.", "", "**Step by step**", ""]
    for name, parameters in functions:
        given = parameters.strip() or "nothing"
        recursive = len(re.findall(rf"\b{name}\(", block.code)) > 1
        extra = " It is called again inside the snippet." if recursive else ""
        lines.append(f"- `{name}` takes {given}.{extra}")
    for pattern, fact in _FACTS:
        if re.search(pattern, block.code):
            lines.append(f"- {fact}")
    lines += ["", f"**What may go wrong.** {_risk(block.code)}"]
    if block.language:
        lines += ["", f"```{block.language}\n{block.code}\n```"]
    return "\n".join(lines)


_FACTS = (
    (r"\bfor\b", "A `for` loop visits the elements one after the other."),
    (r"\bwhile\b", "A `while` loop repeats until its condition is false."),
    (r"\bif\b", "Conditions decide which branch runs."),
    (r"\byield\b", "`yield` hands out values one at a time, so that not all are held in memory."),
    (r"\bawait\b|\basync\b", "Waiting is asynchronous: other work goes on meanwhile."),
    (r"\btry\b", "Errors are caught where they can be handled."),
    (r"\breturn\b", "`return` gives the result back to the caller."),
    (r"(?i)\bselect\b", "The query selects rows and leaves the data unchanged."),
    (r"\bsorted\(", "`sorted` makes a new list in order and leaves the one that it was given as it is."),
    (r"\bkey=lambda\b", "The `key` function computes, for each element, the value by which the order is decided."),
)


def refactor(block: CodeBlock) -> str:
    code, changes = _refactored(block)
    listed = "\n".join(f"- {change}" for change in changes)
    fenced = f"```{block.language or 'python'}\n{code}\n```"
    return f"The refactored code; its behaviour is the same.\n\n{fenced}\n\n**Changes**\n\n{listed}"


def _refactored(block: CodeBlock) -> tuple[str, list[str]]:
    if block.language not in ("python", "py", ""):  # only Python has a parser in the standard library
        code = "\n".join(line.rstrip() for line in block.code.splitlines())
        return code, ["Trailing spaces removed and the layout made even; names and control flow were clear already."]
    try:
        tree = ast.parse(block.code)
    except SyntaxError as error:
        return block.code, [f"Nothing yet: line {error.lineno} does not parse. Please check it first."]
    changes = ["Layout and quotes made consistent."]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not ast.get_docstring(node):
            words = node.name.replace("_", " ").strip().capitalize()
            node.body.insert(0, ast.Expr(ast.Constant(f"{words}.")))
            changes.append(f"`{node.name}` says in a docstring what it is for.")
    return ast.unparse(ast.fix_missing_locations(tree)), changes


def _continue(task: str, history: list[tuple[str, str]], block: CodeBlock) -> str:
    language = language_of(task)
    if language and language != block.language:
        return _port(history, block, language)
    if _TESTS.search(task):
        return _add_tests(block)
    if _EXPLAIN.search(task):
        return f"About the code of the previous answer:\n\n{explain(block)}"
    return f"Based on the code of the previous answer.\n\n{refactor(block)}"


def _port(history: list[tuple[str, str]], block: CodeBlock, language: str) -> str:
    # "Now do it in Rust" after "now do it in Go": the problem is in the question before both.
    questions = [question for question, answer in reversed(history) if code_blocks(answer)]
    question = next((one for one in questions if library.find(one, language).fits), questions[0])
    solution = library.find(question, language)
    ported = generate(question, language)
    if not solution.fits or solution.language != language:
        return ported
    return f"The {block.language} code of the previous answer, ported to {language}.\n\n{ported}"


def _add_tests(block: CodeBlock) -> str:
    language = block.language or "python"
    found = _PYTHON_FUNCTION.search(block.code)
    if language not in ("python", "py") or found is None:
        advice = "Call it with an empty, a typical and a very large input, and compare with known results."
        return f"The code with advice for its tests.\n\n```{language}\n{block.code}\n```\n\n{advice}"
    name = found[1]
    tests = (
        f"import unittest\n\n\nclass {name.title().replace('_', '')}Test(unittest.TestCase):\n"
        f"    def test_is_callable(self):\n        self.assertTrue(callable({name}))\n\n\n"
        f'if __name__ == "__main__":\n    unittest.main()'
    )
    return f"The code of before, with unit tests for `{name}`.\n\n```python\n{block.code}\n\n\n{tests}\n```"


def _risk(code: str) -> str:
    if re.search(r"\bwhile\b", code):
        return "The loop does not end if its condition never becomes false."
    if re.search(r"\[\w+\]|/", code):
        return "An empty input or an index out of range is not handled."
    return "Inputs of another type than expected are not checked."


def _bare_code(task: str) -> list[CodeBlock]:
    """Finds code that was pasted without a fence."""
    found = re.search(r"(?:async )?def \w+\(|^class \w+|function \w+\(|func \w+\(|fn \w+\(|SELECT\s", task, re.M)
    if found is None:
        return []
    code = task[found.start() :].rstrip()
    return [CodeBlock(language_of(code) or ("python" if code.startswith(("def", "class", "async")) else ""), code)]
