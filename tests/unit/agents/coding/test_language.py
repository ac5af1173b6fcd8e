"""The language of an answer: the one that was asked for, else that of its code, else that of its last line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.agents.coding.language import read_language


def block(tag: str, lines: int = 1, *, code: str = "x = 1") -> str:
    return f"```{tag}\n" + "\n".join([code] * lines) + "\n```\n"


# Task, answer, language.
ASKED: Sequence[tuple[str, str, str | None]] = [
    # A port quotes its original, which is longer.
    ("Port this JavaScript to TypeScript", block("js", 9) + block("ts", 5), "typescript"),
    ("Convert from Python to Go, please", block("python", 9) + block("go", 5), "go"),
    ("Rewrite in Rust: a C program", block("c", 9) + block("rust", 5), "rust"),
    ("Rewrite in TypeScript this JavaScript code", block("js", 9) + block("ts", 5), "typescript"),
    ("This is in Java. Port it to Kotlin.", block("java", 9) + block("kotlin", 5), "kotlin"),
    ("JS -> TS\n```js\nf()\n```", block("js", 9) + block("ts", 5), "typescript"),
    ("C++ to C#", block("c++", 9) + block("c#", 5), "csharp"),
    ("Übersetze dieses Java-Programm nach Kotlin", block("java", 9) + block("kotlin", 5), "kotlin"),
    ("Convertis ce code JavaScript en TypeScript", block("js", 9) + block("ts", 5), "typescript"),
    ("Convierte este código Python a Go", block("py", 9) + block("go", 5), "go"),
    ("Converta de Java para Kotlin", block("java", 9) + block("kt", 5), "kotlin"),
    ("Перепиши этот код с Python на Rust", block("python", 9) + block("rust", 5), "rust"),  # noqa: RUF001 - letters of the language
    ("把这段 JavaScript 转换成 TypeScript", block("js", 9) + block("ts", 5), "typescript"),
    ("このJavaScriptをTypeScriptに変換して", block("js", 9) + block("ts", 5), "typescript"),
    ("이 JavaScript 코드를 TypeScript로 변환해 줘", block("js", 9) + block("ts", 5), "typescript"),
    ("Przepisz z Javy na Python", block("java", 9) + block("python", 5), "python"),
    ("Port this JavaScript to TypeScript", block("js", 9) + block("", 5), "typescript"),
    ("Convert this bash script to Python", block("bash", 9) + block("python", 5), "python"),
    ("Port the code below to Swift\n```objc\n[a b];\n```", block("objc", 9) + block("swift", 5), "swift"),
    ("ترجم هذا الكود من بايثون إلى جافا", block("python", 9) + block("java", 5), "java"),
    ("इस Java कोड को Python में बदलो", block("java", 9) + block("python", 5), "python"),
    ("Chuyển đoạn mã Python này sang Go", block("python", 9) + block("go", 5), "go"),
    ("แปลงโค้ด JavaScript เป็น TypeScript", block("js", 9) + block("ts", 5), "typescript"),
    ("Bu Python kodunu Java'ya çevir", block("python", 9) + block("java", 5), "java"),
    ("Give me a Go version of this Python function", block("python", 9) + block("go", 5), "go"),
    ("rewrite it in c", block("python", 9) + block("c", 5), "c"),
    # A wish outweighs the longest block.
    ("How do I sort in Ruby? I only know Perl.", block("perl", 9) + block("ruby", 2), "ruby"),
    ("Write a Python script that generates JavaScript", block("python", 3) + block("js", 9), "python"),
    ("Write a Go service that talks to Python", block("python", 9) + block("go", 5), "go"),
    ("Write a bash script that installs Python", block("python", 9) + block("bash", 5), "bash"),
    ("Scrivi una funzione in Scala", block("java", 9) + block("scala", 5), "scala"),
    ("用 Python 写一个快速排序", block("c", 9) + block("python", 5), "python"),
    ("Pythonでソート関数を書いて", block("c", 9) + block("python", 5), "python"),
    ("Napisz funkcję w Pythonie", block("c", 9) + block("python", 5), "python"),
    ("Напиши функцию на питоне", block("c", 9) + block("python", 5), "python"),
    ("Python ile bir fonksiyon yaz", block("c", 9) + block("python", 5), "python"),
    ("Write it in Visual Basic", block("csharp", 9) + block("vb.net", 5), "vbnet"),
    ("Give me a query in T-SQL", block("python", 9) + block("tsql", 2), "sql"),
    # Data, shells, settings and diagrams that were asked for.
    ("Give me a JSON example of a webhook", block("json", 3) + block("js", 9), "json"),
    ("Write a Dockerfile for my Python app", block("python", 9) + block("dockerfile", 4), "dockerfile"),
    ("Draw a Mermaid diagram of my Python service", block("python", 9) + block("mermaid", 4), "mermaid"),
    ("Schreibe eine YAML-Datei für Kubernetes", block("yaml", 3) + block("python", 9), "yaml"),
    ("Create an HTML page with a counter", block("html", 3) + block("js", 9), "html"),
    ("Convert this YAML to JSON", block("yaml", 9) + block("json", 3), "json"),
    # Data that a program reads or writes was not asked for.
    ("Write a Python script that converts CSV to JSON", block("python", 3) + block("json", 9), "python"),
    ("Write a function that prints JSON", block("python", 3) + block("json", 9), "python"),
    ("Write a JSON parser", block("rust", 3) + block("json", 9), "rust"),
    ("How do I parse JSON?", block("go", 3) + block("json", 9), "go"),
    ("Build a Flask app with HTML templates", block("python", 3) + block("html", 9), "python"),
    # Without a tag the wish is all that is known.
    ("Write a Python function", block("", 3), "python"),
    ("write a go function", block("", 3) + block("bash", 1), "go"),
    ("Напиши скрипт на Python", block("", 3), "python"),
    ("파이썬으로 함수를 작성해줘", block("", 3), "python"),
    ("بلغة بايثون اكتب دالة", block("", 3), "python"),
    ("escribe un script en bash", block("", 3), "bash"),
    ("Compare Python and Ruby", block("", 3), None),
    ("Are you ready to go?", block("", 3), None),
    ("Explain Python decorators", block("", 3), "python"),
    ("Install Python on Ubuntu", block("bash", 1) + block("", 9), "bash"),
    # A language that the task names but the answer does not use.
    ("I know Python. How do I sort in Go?", block("go", 3), "go"),
    ("Write it in Haskell", block("python", 3), "python"),
    ("Write it in Haskell", "That is not possible.", None),
    ("Translate it to German", block("python", 3), "python"),
]

# Answer to a task that names no language, language.
ANSWERS: Sequence[tuple[str, str | None]] = [
    # The surroundings of a program do not outweigh it.
    (block("bash", 9) + block("python", 2), "python"),
    (block("json", 9) + block("go", 2), "go"),
    (block("console", 9) + block("rust", 2), "rust"),
    (block("yaml", 9) + block("java", 2), "java"),
    (block("mermaid", 9) + block("ts", 2), "typescript"),
    (block("diff", 9) + block("c", 2), "c"),
    (block("html", 9) + block("css", 9) + block("php", 2), "php"),
    (block("toml", 9) + block("ini", 9) + block("csv", 9) + block("dot", 9) + block("lua", 1), "lua"),
    (block("text", 9) + block("kotlin", 2), "kotlin"),
    (block("json", 9) + block("bash", 2), "bash"),
    (block("bash", 2) + block("yaml", 9), "yaml"),
    (block("bash", 2) + block("dockerfile", 9), "dockerfile"),
    # Alone they count.
    (block("bash"), "bash"),
    (block("json"), "json"),
    (block("yaml"), "yaml"),
    (block("mermaid"), "mermaid"),
    (block("plantuml"), "plantuml"),
    (block("diff"), "diff"),
    (block("html"), "html"),
    (block("console"), "bash"),
    (block("text"), None),
    (block("output"), None),
    # Names of files in the place of the language.
    (block("src/main.rs"), "rust"),
    (block("app.py"), "python"),
    (block("Dockerfile"), "dockerfile"),
    (block('title="app.ts"'), "typescript"),
    (block("python:app/main.py"), "python"),
    (block("12:20:src/App.tsx"), "typescript"),
    (block("js title=a.js {1,3}"), "javascript"),
    (block("CMakeLists.txt"), "cmake"),
    (block("package.json"), "json"),
    (block("file=lib\\util.kt"), "kotlin"),
    (block("Makefile"), "makefile"),
    (block(".bashrc"), "bash"),
    # Other names.
    (block("pycon"), "python"),
    (block("ipython3"), "python"),
    (block("python3.12"), "python"),
    (block("pgsql"), "sql"),
    (block("tsql"), "sql"),
    (block("PL/SQL"), "sql"),
    (block("f90"), "fortran"),
    (block("vb.net"), "vbnet"),
    (block("objective-c++"), "objectivecpp"),
    (block("c++17"), "cpp"),
    (block("JSX"), "javascript"),
    (block("Emacs Lisp"), "elisp"),
    (block("{.sh}"), "bash"),
    (block("{r, echo=FALSE}"), "r"),
    (block("language-go"), "go"),
    (block("rust,ignore"), "rust"),
    (block("{code-cell} ipython3"), "python"),
    # A tag that is no language.
    (block("src"), None),
    (block("example"), None),
    (block("german"), None),
    # Where blocks stand and how they are written.
    ("> ```py\n> x = 1\n> ```\n> end", "python"),
    ("> > ```go\n> > x\n> > ```", "go"),
    ("> ```py\n> x\nout of the quote\n```js\ny()\nz()\nz()\n```", "javascript"),
    ("1. First:\n\n    ```rb\n    puts 1\n    ```\n", "ruby"),
    ("- ```rust\n  fn main() {}\n  ```\n", "rust"),
    ("      ```perl\n      say 1\n      ```", "perl"),
    ("~~~ruby\nputs 1\n~~~", "ruby"),
    ("```python\nnever closed", "python"),
    ("```python\r\nx\r\n```\r\n", "python"),
    ("````markdown\n# A\n```python\nx = 1\n```\n````", "markdown"),
    ('```python\ndef f():\n    """\n        ```\n    """\n```\n' + block("js", 2), "python"),
    ("```text\n```python\n```\n", None),
    ("Inline `python` and ```python``` only.", None),
    ("", None),
    ("<think>Use ```js\nlet a\nlet b\n``` or not?</think>\n" + block("py"), "python"),
    ("<think>I never stop ```js\nlet a\n```", None),
    ('```python\nre.sub("<think>.*</think>", "", text)\n```', "python"),
]

# The last line of an explanation, language; None: the line is prose and stays.
LAST_LINES: Sequence[tuple[str, str | None]] = [
    ("Language: Python", "python"),
    ("**Language:** py", "python"),
    ("**Language**: Python", "python"),
    ("Language: `python3`  \n", "python"),
    ("Language: Python 3.12", "python"),
    ("Language: Python.", "python"),
    ("Language: Python (3.12 or later)", "python"),
    ("Language: Visual Basic", "vbnet"),
    ("Language: Visual Basic .NET", "vbnet"),
    ("Language: C++", "cpp"),
    ("Language: C#.", "csharp"),
    ("Language: C / C++", "c"),
    ("Language: HTML, CSS and JavaScript", "javascript"),
    ("Language: Objective-C++", "objectivecpp"),
    ("> Language: SQL", "sql"),
    ("- Language: Go", "go"),
    ("_Language: Rust_", "rust"),
    ("Programming language: Java 21", "java"),
    ("Sprache: Python", "python"),
    ("Programmiersprache: C", "c"),
    ("Langage : Ruby", "ruby"),
    ("Lenguaje: Kotlin", "kotlin"),
    ("Linguagem: Lua", "lua"),
    ("Linguaggio: Swift", "swift"),
    ("Taal: PHP", "php"),
    ("Язык: Python", "python"),
    ("语言：Python", "python"),  # noqa: RUF001 - the colon of Chinese
    ("言語: Python", "python"),
    ("언어: Python", "python"),
    ("اللغة: Python", "python"),
    ("Languages: SQL, bash", "sql"),
    ("Language: Rust 🦀", "rust"),
    ("Language: German", None),
    ("Sprache: Deutsch", None),
    ("Language: Python is what I chose.", None),
    ("Language: clear and short", None),
    ("Idioma: español", None),
]


@pytest.mark.parametrize(("task", "answer", "language"), ASKED)
def test_the_language_that_was_asked_for(task: str, answer: str, language: str | None) -> None:
    assert read_language(answer, task=task) == (answer, language)


@pytest.mark.parametrize(("answer", "language"), ANSWERS)
def test_the_language_of_the_code(answer: str, language: str | None) -> None:
    assert read_language(answer) == (answer, language)


@pytest.mark.parametrize(("line", "language"), LAST_LINES)
def test_the_last_line_of_an_explanation(line: str, language: str | None) -> None:
    answer = f"It sorts the list.\n\n{line}"
    assert read_language(answer) == ("It sorts the list." if language else answer, language)


def test_a_program_outweighs_the_last_line_and_a_shell_does_not() -> None:
    assert read_language("```go\nx\n```\nLanguage: Python") == ("```go\nx\n```", "go")
    assert read_language("```bash\npip list\n```\nLanguage: Python") == ("```bash\npip list\n```", "python")


def test_the_rule_above_the_last_line_goes_with_it() -> None:
    assert read_language("It sorts.\n\n---\nLanguage: Python") == ("It sorts.", "python")


def test_a_last_line_that_names_no_language_is_removed() -> None:
    assert read_language("It depends.\n\nLanguage: none") == ("It depends.", None)


def test_a_line_of_an_unfinished_block_is_code() -> None:
    text = "```yaml\nos: linux\nlanguage: python"
    assert read_language(text) == (text, "yaml")


def test_a_long_hostile_text_is_read_in_time() -> None:
    for piece in ("`", "> ", "- ", "```a\n", "Language: ", "Python ", "to C ", "\n", "<think>", "用"):
        text = piece * (600 * settings().max_examples // len(piece))
        read_language(text, task=text)


@given(st.text(alphabet=st.sampled_from("`~> -1.py\n\tLanguage:")), st.text())
def test_any_text_is_read_and_only_a_last_line_is_taken_away(answer: str, task: str) -> None:
    text, _ = read_language(answer, task=task)
    assert answer.startswith(text)
