"""Web addresses in a text: their form, the page that each leads to, and the ones that lead nowhere. Pure.

An address has a scheme that a document can be followed by (http, https, ftp, ws, file), or begins with `www.` or `//`,
or is a host with a path, a port or a query (`evil.com/login`). `mongodb://host` is technical text, and a host alone is
a name (`Booking.com`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote, urlsplit

TITLE_CHARACTERS = 200
REMOVED = "(link removed)"

# Top-level domains that a text without a scheme may name: all countries, and the others that are registered most. A
# complete list would take `config.build/x` for an address, and would be out of date.
_COUNTRIES = (
    "ac|ad|ae|af|ag|ai|al|am|ao|aq|ar|as|at|au|aw|ax|az|ba|bb|bd|be|bf|bg|bh|bi|bj|bm|bn|bo|br|bs|bt|bw|by|bz|ca|cc|cd|"
    "cf|cg|ch|ci|ck|cl|cm|cn|co|cr|cu|cv|cw|cx|cy|cz|de|dj|dk|dm|do|dz|ec|ee|eg|er|es|et|eu|fi|fj|fk|fm|fo|fr|ga|gd|ge|"
    "gf|gg|gh|gi|gl|gm|gn|gp|gq|gr|gs|gt|gu|gw|gy|hk|hm|hn|hr|ht|hu|id|ie|il|im|in|io|iq|ir|is|it|je|jm|jo|jp|ke|kg|kh|"
    "ki|km|kn|kp|kr|kw|ky|kz|la|lb|lc|li|lk|lr|ls|lt|lu|lv|ly|ma|mc|md|me|mg|mh|mk|ml|mm|mn|mo|mp|mq|mr|ms|mt|mu|mv|mw|"
    "mx|my|mz|na|nc|ne|nf|ng|ni|nl|no|np|nr|nu|nz|om|pa|pe|pf|pg|ph|pk|pl|pm|pn|pr|ps|pt|pw|py|qa|re|ro|rs|ru|rw|sa|sb|"
    "sc|sd|se|sg|sh|si|sk|sl|sm|sn|so|sr|ss|st|su|sv|sx|sy|sz|tc|td|tf|tg|th|tj|tk|tl|tm|tn|to|tr|tt|tv|tw|tz|ua|ug|uk|"
    "us|uy|uz|va|vc|ve|vg|vi|vn|vu|wf|ws|ye|yt|za|zm|zw"
)
_GENERIC = (
    "com|net|org|info|biz|edu|gov|mil|int|arpa|name|pro|aero|asia|cat|coop|jobs|mobi|museum|post|tel|travel|xxx|academy|"
    "agency|app|art|bar|bid|blog|buzz|cam|care|cash|center|click|cloud|club|company|cyou|date|dev|digital|download|email|"
    "expert|faith|finance|fit|fun|fyi|games|gdn|global|group|guru|help|host|hosting|icu|ink|ltd|lat|life|link|live|loan|"
    "lol|market|media|men|mom|money|monster|mov|network|news|ninja|one|online|page|party|photo|pics|press|quest|racing|"
    "rest|review|rocks|run|sale|sbs|school|science|security|services|shop|site|skin|software|solutions|space|store|"
    "stream|studio|support|systems|tech|today|tokyo|tools|top|trade|uno|vip|vote|wang|watch|webcam|website|wiki|win|"
    "work|world|wtf|xyz|zip|zone"
)
_NON_LATIN = "xn--[a-z0-9-]{2,59}|рф|бел|укр|срб|мкд|қаз|сайт|онлайн|ком|орг|дети|бг|ελ"
_IN_LETTERS = "中国|中國|公司|网络|香港|台湾|台灣|한국"
# Letters and punctuation of Chinese, Japanese and Korean, which stand beside an address without a space.
_LETTERS = "\u2e80-\u2fff\u3040-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
_SIGNS = "，。、；：！？（）「」『』《》〈〉【】［］〔〕"
_BODY = rf"[^\s<>\"'`\[\]{{}}|\\^{_SIGNS}]"
_IPV6 = r"\[[0-9a-f.]*:[0-9a-f:.]*\]"
# The bounds keep the search linear: `a.a.a.…` would otherwise be read anew from each of its labels.
_EDGE = rf"[^\W_{_LETTERS}]"
_LABELS = rf"(?:{_EDGE}(?:(?:[^\W{_LETTERS}]|-){{0,61}}{_EDGE})?[.。．]){{1,8}}"
_HOST = (
    rf"(?:(?<!{_EDGE}){_LABELS}(?:{_COUNTRIES}|{_GENERIC}|{_NON_LATIN})"
    rf"|(?<![\w-])[{_LETTERS}\w-]{{1,63}}[.。．](?:{_IN_LETTERS}))"
)
_IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}"
_SCHEMES = r"(?:https?|ftps?|wss?|file)"
_WITH_SCHEME = rf"(?:{_SCHEMES}:[/\\]{{1,8}}+|(?<![a-z0-9])www\.)(?:{_IPV6}|{_BODY}){_BODY}*"
_IN_CODE = re.compile(rf"(?:{_SCHEMES}://|(?<![a-z0-9])www\.)(?:{_IPV6}|{_BODY}){_BODY}*", re.IGNORECASE)
_ANYWHERE = re.compile(
    rf"(?P<address>{_WITH_SCHEME}|\bmailto:[^\s<>\"'`\[\]{{}}|\\^@]{{1,64}}@{_BODY}+)"
    # The scheme of technical text: its host is no address.
    rf"|(?<![^\W_])[a-z][a-z0-9+.-]{{1,20}}://{_BODY}*"
    rf"|(?P<relative>(?<![\w.:/\\@-])[/\\]{{2,8}}(?:{_HOST}|{_IPV4})(?![\w-])(?:{_BODY}|\\)*)"
    rf"|(?P<bare>(?<![@/\\])(?:{_HOST}\.?|(?<![\w.]){_IPV4})"
    rf"(?::\d{{2,5}}(?![\w-])(?:[/?#\\]{_BODY}*)?|[/\\]{_BODY}*|[?#]{_BODY}+))",
    re.IGNORECASE,
)
# Every address holds one of these; most texts hold none, and this search takes a tenth of the time.
_HINT = re.compile(r":[/\\]|[/\\]{2}|(?<![a-z0-9])www\.|[.。．][\w-]{1,63}\.?[/:?#\\]|\bmailto:", re.IGNORECASE)
_NAME_HINT = re.compile(r"[.。．:]\w|://|localhost", re.IGNORECASE)
_NAMED = re.compile(
    rf"(?<![@/\\])(?:{_HOST}|(?<![\w.])(?:localhost|{_IPV4}))(?![\w-])(?::\d{{2,5}})?(?:[/?#]{_BODY}*)?", re.IGNORECASE
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}", re.IGNORECASE)
# A network, `10.0.0.0/8`, and degrees, `B.Sc./M.Sc.`: the Seychelles have `.sc`.
_NO_ADDRESS = re.compile(rf"{_IPV4}/\d{{1,2}}|[A-Z]\.[A-Z][a-z]+\.?[/?#].*")
_TRAILING = ".,;:!?*_~。，、；：！？"
# Signs that a browser skips in an address or reads as another one.
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\\]")
_ESCAPED = re.compile(
    r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});"
    r"|\\(?P<sign>[!-/:-@\[-`{-~])|[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]",
    re.IGNORECASE,
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_EXAMPLE_HOSTS = ("example.com", "example.org", "example.net", "example", "test", "invalid")
_PLAIN_HOST = re.compile(r"[a-z0-9.-]+")
_PLACE = re.compile(r"#[\w.:%~=,&-]*")
_TRACKING = re.compile(r"(?:utm_[a-z]+|gclid|fbclid|msclkid|yclid|dclid|igshid|mc_cid|mc_eid)(?:=|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """An address and its place in the text. `address` is decoded, as a browser would read it."""

    start: int
    end: int
    address: str


def url_key(url: str) -> str | None:
    """Returns a key of the page behind an address, the same for all ways to write it.

    http and https, `www.`, a final slash, the fragment and the parameters of trackers (`utm_source` …) make no
    difference. Returns None for a text that is not an address with a host, and for one that browsers read in two ways.
    """
    address = url.removeprefix("mailto:")
    if address != url:
        return f"mailto:{address.partition('?')[0].lower()}"
    if _UNSAFE.search(url):
        return None
    try:
        parts = urlsplit(url if "://" in url or url.startswith("//") else f"https://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that hold no IPv6 address, or a port that is no number
        return None
    if not host:
        return None
    scheme = "" if parts.scheme in ("", "http", "https") else f"{parts.scheme}:"
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    place = "" if port in (None, 80, 443) else f":{port}"
    query = "&".join(part for part in parts.query.split("&") if not _TRACKING.match(part))
    return f"{scheme}{user}{_ascii(host).removeprefix('www.')}{place}{unquote(parts.path).rstrip('/')}?{query}"


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:  # an empty or a too long label: such a name leads nowhere
        return host


def is_citable(url: str) -> bool:
    """Returns True if a search hit's address is one whole http or https address and nothing more."""
    match = _IN_CODE.fullmatch(url)
    return match is not None and url.lower().startswith(("http://", "https://")) and _trimmed(url) == url


def is_place(target: str) -> bool:
    """Returns True for a target in the text itself, such as `#part`."""
    return _PLACE.fullmatch(target) is not None


def is_example(url: str) -> bool:
    """Returns True if the host is reserved for documentation: such an example leads nowhere."""
    return _host_within(url, _EXAMPLE_HOSTS)


def is_reserved(url: str) -> bool:
    """Returns True if the host is reserved for documentation, or is this machine."""
    return is_example(url) or _host_within(url, ("localhost", "127.0.0.1"))


def _host_within(url: str, names: tuple[str, ...]) -> bool:
    if _UNSAFE.search(url):
        return False
    try:
        host = urlsplit(url if "://" in url or url.startswith("//") else f"https://{url}").hostname or ""
    except ValueError:
        return False
    plain = _PLAIN_HOST.fullmatch(host) is not None
    return plain and any(host == name or host.endswith(f".{name}") for name in names)


def locate_addresses(text: str) -> Iterator[Found]:
    """Yields the addresses in a text as people read it: entities and escaped signs count as what they stand for."""
    decoded, places = _decoded(text)
    if not _HINT.search(decoded):
        return
    for match in _ANYWHERE.finditer(decoded):
        address = _trimmed(match.group())
        if match.lastgroup is None or _NO_ADDRESS.fullmatch(address):
            continue
        start, end = match.start(), match.start() + len(address)
        yield Found(places[start] if places else start, places[end] if places else end, address)


def find_addresses(text: str) -> list[str]:
    return [found.address for found in locate_addresses(text)]


def replace_addresses(text: str, replace: Callable[[str], str]) -> str:
    """Replaces every address in the text; punctuation after an address that ends the sentence stays."""
    parts: list[str] = []
    end = 0
    for found in locate_addresses(text):
        parts += [text[end : found.start], replace(found.address)]
        end = found.end
    return "".join([*parts, text[end:]])


def locate_in_code(code: str) -> Iterator[Found]:
    """Yields the addresses with a scheme or `www.` in code, where nothing is decoded and `a.py/b` is no address."""
    for match in _IN_CODE.finditer(code):
        address = _trimmed(match.group())
        yield Found(match.start(), match.start() + len(address), address)


def named_pages(text: str) -> frozenset[str]:
    """Returns the keys of all pages, hosts and mail addresses that a text names, with or without a scheme."""
    if not _NAME_HINT.search(text):
        return frozenset()
    named = [*find_addresses(text), *(_trimmed(match.group()) for match in _NAMED.finditer(text))]
    mail = [f"mailto:{match.group()}" for match in _EMAIL.finditer(text)]
    return frozenset(key for key in map(url_key, [*named, *mail]) if key is not None)


def clean_title(title: str) -> str:
    """Makes one short line of a page's title, which is foreign text: without addresses or Markdown brackets."""
    plain = replace_addresses(title, lambda _: REMOVED)
    return " ".join(plain.translate(str.maketrans("[]<>`", "     ")).split())[:TITLE_CHARACTERS]


def _decoded(text: str) -> tuple[str, list[int]]:
    """Decodes entities and escaped signs and drops invisible characters.

    Returns the result with the place in `text` of each of its characters and of its end; no places if nothing changed.
    """
    parts: list[str] = []
    places: list[int] = []
    end = 0
    for match in _ESCAPED.finditer(text):
        meant = match["sign"] or _INVISIBLE.sub("", unescape(match.group()))
        parts += [text[end : match.start()], meant]
        places += [*range(end, match.start()), *[match.start()] * len(meant)]
        end = match.end()
    if not parts:
        return text, []
    return "".join([*parts, text[end:]]), [*places, *range(end, len(text) + 1)]


def _trimmed(address: str) -> str:
    end = len(address)
    # Counted once, because an address may end in thousands of brackets.
    unbalanced = address.count(")") - address.count("(")
    while end:
        last = address[end - 1]
        # A closing bracket belongs to an address that opens it, `…/wiki/C_(language)`, else to the sentence around it.
        if last not in _TRAILING and not (last == ")" and unbalanced > 0):
            break
        unbalanced -= last == ")"
        end -= 1
    return address[:end]
