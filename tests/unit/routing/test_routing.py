import pytest

from gateway.routing import Matcher, find_conflicts, parse_pattern
from gateway.routing.normalise import normalise, second_reading
from gateway.routing.route import Route, Target, Upstream

UP = Upstream("u", (Target("http", "127.0.0.1", 1),))


def route(name, *paths, methods=(), hosts=()):
    return Route(name, UP, paths, frozenset(methods), tuple(hosts))


def matcher(*routes):
    return Matcher((route, route.name) for route in routes)


def find(table, path, method=b"GET", host=b"h"):
    match = table.match(host, method, path)
    return match.value if match else None


def test_order_exact_then_literals_then_longest():
    table = matcher(
        route("root", "/"), route("x", "/x"), route("exact", "=/x/y"), route("id", "/x/{id}"),
        route("deep", "/x/{id}/z"), route("long", "/x/y/z"),
    )  # fmt: skip
    assert find(table, b"/") == "root"
    assert find(table, b"/xy") == "root"
    assert find(table, b"/x") == "x"
    assert find(table, b"/x/") == "x"
    assert find(table, b"/x/y") == "exact"
    assert find(table, b"/x/7") == "id"
    assert find(table, b"/x/7/8") == "x"
    assert find(table, b"/x/7/z") == "deep"
    assert find(table, b"/x/y/z") == "long"
    assert find(table, b"/x/y/z/1") == "long"


def test_hosts_go_first():
    table = matcher(
        route("any", "/", "/only"), route("a", "/", hosts=["A.test"]), route("wild", "/", hosts=["*.a.test"]),
        route("deeper", "/", hosts=["*.b.a.test"]),
    )  # fmt: skip
    assert find(table, b"/only", host=b"a.test") == "a"
    assert find(table, b"/", host=b"x.a.test") == "wild"
    assert find(table, b"/", host=b"x.b.a.test") == "deeper"
    assert find(table, b"/", host=b"other") == "any"


def test_a_method_mismatch_is_no_match():
    table = matcher(route("root", "/"), route("get", "/x", methods=["GET"]), route("post", "/x", methods=["POST"]))
    assert find(table, b"/x", b"POST") == "post"
    assert find(table, b"/x", b"PUT") is None


@pytest.mark.parametrize(
    "path",
    [b"/a/../admin", b"/a/%2e%2E/admin", b"//admin", b"/./admin", b"/%61dmin", b"/a/b/../../admin/x", b"/admin/.",
     b"/a/..//admin", b"/../../admin"],
)  # fmt: skip
def test_no_spelling_steps_around_a_rule(path):
    assert find(matcher(route("root", "/"), route("admin", "/admin")), path) == "admin"


@pytest.mark.parametrize(
    "path",
    [b"/a%2F..%2Fadmin", b"/a/..%2fadmin", b"/a/..;/admin", b"/admin;x=1", b"/a%5C..%5Cadmin", b"/a/%2e%2e%2fadmin"],
)
def test_what_upstreams_read_in_two_ways_passes_only_if_both_lead_to_one_rule(path):
    assert find(matcher(route("root", "/"), route("admin", "/admin")), path) is None
    assert find(matcher(route("root", "/")), path) == "root"


def test_normalising():
    for raw, wanted in {
        b"/a": b"/a", b"/a/": b"/a/", b"/a/..": b"/", b"/a/b/..": b"/a/", b"/a/./b": b"/a/b", b"/%7Ea": b"/~a",
        b"/%c3%a9": b"/%C3%A9", b"/\xc3\xa9": b"/%C3%A9", b"/%zz": b"/%zz", b"/a%2fb": b"/a%2Fb", b"/...": b"/...",
        b"/.hidden": b"/.hidden", b"//": b"/",
    }.items():  # fmt: skip
        assert normalise(raw) == wanted
    assert second_reading(b"/a/b") is None
    assert second_reading(b"/a%2f..%2fb;c") == b"/b"


def test_conflicts():
    assert [str(c) for c in find_conflicts([route("a", "/x"), route("b", "/x/")])] == [
        "routes a (/x) and b (/x/) match the same requests"
    ]
    assert find_conflicts([route("a", "/{x}/b"), route("b", "/a/{y}")])
    assert not find_conflicts([route("a", "/{x}/b"), route("b", "/a/{y}/c")])
    assert not find_conflicts([route("a", "/x", methods=["GET"]), route("b", "/x", methods=["POST"])])
    assert not find_conflicts([route("a", "/x", hosts=["a"]), route("b", "/x", hosts=["b"])])
    assert not find_conflicts([route("a", "/x"), route("b", "=/x"), route("c", "/x/{id}")])


def test_a_thousand_routes():
    routes = [route(f"r{n}", f"/api/v{n % 7}/thing{n}", f"/api/v{n % 7}/thing{n}/{{id}}/sub") for n in range(1000)]
    assert find_conflicts(routes) == []
    table = matcher(*routes)
    assert find(table, b"/api/v1/thing1/5") == "r1"
    assert find(table, b"/api/v5/thing999/5/sub") == "r999"


def test_bad_patterns():
    for text in ("x", "=x", "/a?b", "/a{b}", "/{}"):
        with pytest.raises(ValueError, match=r"path|parameter"):
            parse_pattern(text)
