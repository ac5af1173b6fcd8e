"""Tags of raw HTML, and the ones that may stay."""

from __future__ import annotations

import time

import pytest

from app.agents.content.raw_html import Tag, as_address, is_harmless, is_plain_comment, read_tag, tag_spans


def test_tags_comments_and_instructions_are_found_and_other_signs_are_text() -> None:
    html = "<div a='>' b=c>1 < 2 <b/> <img/src=x> </div ><!-- x --> <?p ?> <!D> <![CDATA[ <a> ]]> <!-- open"
    assert [html[start:end] for start, end in tag_spans(html)] == [
        *("<div a='>' b=c>", "<b/>", "</div >", "<!-- x -->", "<?p ?>", "<!D>", "<![CDATA[ <a> ]]>"),
    ]


def test_names_are_lower_case_and_entities_are_decoded() -> None:
    tag = read_tag("<A HREF='x&amp;y' Title = \"a b\" disabled>")
    assert tag == Tag("a", closing=False, attributes=(("href", "x&y"), ("title", "a b"), ("disabled", "")))
    assert read_tag("</A >") == Tag("a", closing=True)
    assert read_tag("<!-- a -->") is None


def test_a_browser_skips_controls_in_an_address() -> None:
    assert as_address(" ht\ntps:\x01//%65vil.net ") == "https://evil.net"


def test_the_description_of_an_image_holds_no_tags() -> None:
    tag = read_tag("<img alt='a\n<b> chart'>")
    assert tag is not None
    assert tag.description == "a b chart"


def judge(text: str) -> bool:
    tag = read_tag(text)
    assert tag is not None
    return is_harmless(tag, lambda target: target in ("https://own.net/x", "#part"))


@pytest.mark.parametrize(
    "text",
    [
        *("<br>", "<br/>", "</b>", "<sub>", "<details open>", "<td colspan=2 align='right'>", '<div class="a b" id=c>'),
        *("<p style='color: rgb(1,2,3); margin:0 2px'>", "<a href='https://own.net/x' title='Our page: x'>"),
        *("<a href='#part'>", "<a name=x>", "<ol start=3>", "<span lang=de dir=ltr>", "<abbr title='1/2 of it'>"),
    ],
)
def test_tags_that_lead_nowhere_may_stay(text: str) -> None:
    assert judge(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<img>",
            "<script>",
            "</script>",
            "<svg>",
            "<FORM>",
            "<input>",
            "<iframe>",
            "<textarea>",
            "<base>",
            "<style>",
        ),
        *(
            "<a href=//evil.net>",
            "<a href=x>",
            "<a href=' https://own.net/x' href='//evil.net'>",
            "<a href='javascript:x'>",
        ),
        *("<b onclick=x>", "<b ONMOUSEOVER=x>", "<p style='background:url(x)'>", "<p style='a:\\75rl(x)'>"),
        *(
            "<p style=\"b:image-set('x')\">",
            "<b title='https://evil.net'>",
            "<b data-x='//evil.net'>",
            "<b x='data:a'>",
        ),
        *(
            "<b x='java&#9;script:a'>",
            "<td background=x>",
            "<q cite='x'>",
            "<b title='<img src=x>'>",
            "<b x=evil.net/login>",
        ),
        *("<div href='https://own.net/x'>", "<a href='https://own.net/x' ping='https://own.net/x'>"),
    ],
)
def test_tags_that_load_run_or_lead_away_may_not(text: str) -> None:
    assert not judge(text)


@pytest.mark.parametrize("text", ["<!-- a note -->", "<!---->", "<!-- a-b -->"])
def test_a_plain_comment_may_stay(text: str) -> None:
    assert is_plain_comment(text)


@pytest.mark.parametrize(
    "text",
    ["<!-->", "<!--->", "<!-- a --!> -->", "<!-- a -- b -->", "<!-- <b> -->", "<!-- https://evil.net -->", "<?a?>"],
)
def test_a_comment_that_browsers_end_elsewhere_may_not(text: str) -> None:
    assert not is_plain_comment(text)


@pytest.mark.parametrize("piece", ["<", "<!--", "<?", "<![CDATA[", "<!a", "<a ", "<a b='", "<a b ", "</a "])
def test_thousands_of_openings_are_read_in_linear_time(piece: str) -> None:
    began = time.process_time()
    tag_spans(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 2
