"""A section that follows another with only its credential changed is read as if it were parsed anew."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.errors import MessageError
from gateway.http.request import Request, RequestFields
from gateway.proxy.stages import credential

NAMES = ("X-API-Key", "x-api-key", "Authorization", "Host", "Accept", "X-Api-Key2", "Cookie")
VALUES = (
    "gk_live_a",
    "Bearer abc",
    "bearer  x",
    "bearer\tx",
    "Bearer \tx",
    "Basic abc",
    "a b",
    "",
    "1",
    "x" * 30,
    "a\r\nHost: evil",
    "gk_test_\x00",
)
BLANKS = ("", " ", "\t", "  ")
SAID = (
    "section", "host", "hostname", "length", "chunked", "connection", "expects_continue", "upgrade", "digest", "pairs",
)  # fmt: skip
MEANINGFUL = (b"x-api-key", b"authorization", b"host", b"te", b"x-request-id")
lines = st.tuples(st.sampled_from(NAMES), st.sampled_from(BLANKS), st.sampled_from(VALUES), st.sampled_from(BLANKS))


def section_of(fields: list[tuple[str, str, str, str]]) -> bytes:
    return "".join(f"{name}:{before}{value}{after}\r\n" for name, before, value, after in fields).encode()


def read(parse, section: bytes) -> object:
    """All that is known of a section, or why it is refused."""
    try:
        fields = parse(section)
    except MessageError as error:
        return error.detail
    said = {name: getattr(fields, name) for name in SAID}
    request = Request(b"GET / HTTP/1.0", fields) if not fields.chunked else None
    found = credential(request) if request is not None else None
    return said | {"credential": found, "all": {name: fields.all(name) for name in MEANINGFUL}}


@given(st.lists(lines, max_size=4), st.lists(lines, max_size=4), st.integers(0, 3), st.sampled_from(VALUES))
def test_following_is_parsing(fields, others, index, value):
    try:
        first = RequestFields(section_of(fields))
    except MessageError:
        return
    changed = [(*line[:2], value, line[3]) if place == index else line for place, line in enumerate(fields)]
    for second in (section_of(changed), section_of(others)):
        assert read(first.follow, second) == read(RequestFields, second)


def test_what_was_composed_stays_only_when_it_hides_the_credential():
    first = RequestFields(b"Host: a\r\nX-API-Key: one\r\n")
    first.forward_key, first.forward_value = "key", b"Host: a\r\n"
    assert first.follow(b"Host: a\r\nX-API-Key: two\r\n").forward_key is None
    first.forward_hides = True
    again = first.follow(b"Host: a\r\nX-API-Key: two-and-more\r\n")
    assert (again.forward_key, again.forward_value) == ("key", b"Host: a\r\n")
    assert again.digest is None
    assert first.follow(b"Host: b\r\nX-API-Key: two\r\n").forward_key is None


def test_what_was_composed_does_not_stay_where_another_field_holds_a_credential():
    """It would pass the one on, or keep the other back, for what the connection's call before it had."""
    first = RequestFields(b"X-Copy: other-key\r\nX-API-Key: this-key\r\n")
    first.forward_key, first.forward_value, first.forward_hides = "key", b"X-Copy: other-key\r\n", True
    assert first.follow(b"X-Copy: other-key\r\nX-API-Key: other-key\r\n").forward_key is None
    assert first.follow(b"X-Copy: other-key\r\nX-API-Key: third-key\r\n").forward_key == "key"
    copied = RequestFields(b"X-Copy: this-key\r\nX-API-Key: this-key\r\n")
    copied.forward_key, copied.forward_value, copied.forward_hides = "key", b"", True
    assert copied.follow(b"X-Copy: this-key\r\nX-API-Key: third-key\r\n").forward_key is None
