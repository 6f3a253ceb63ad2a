"""Every kind of fault, exactly as it is printed."""

import pytest

from gateway.config import yaml_tree

BASE = """\
upstreams:
  api: {targets: ["http://127.0.0.1:9001"]}
routes:
  api: {match: {paths: ["/"]}, upstream: api, meters: {tokens: {json: usage.total}}}
"""
PLANS = """\
plans:
  free: {limits: [{name: calls, max: 10, per: minute}]}
tenants:
  acme: {plan: free}
"""
HASH = "sha256:" + "1" * 64


def limit(text: str) -> str:
    return f"plans:\n  p:\n    limits:\n      - {{{text}}}\n"


def price(text: str) -> str:
    return f"plans:\n  p:\n    prices:\n      - {{{text}}}\n"


CASES = {
    "unknown top-level field": ("sever: {}\n", ['5: sever: unknown field; did you mean "server"?']),
    "unknown nested field": (
        "server:\n  workers: 2\n  lsten: x\n",
        ['7: server.lsten: unknown field; did you mean "listen"?'],
    ),
    "a field whose capability does not exist yet": (
        "webhooks: {}\n",
        ["5: webhooks: unknown field"],
    ),
    "word for a number": ("server: {workers: two}\n", ["5: server.workers: expected a whole number, found text"]),
    "fraction for a number": (
        "server: {workers: 1.5}\n",
        ["5: server.workers: expected a whole number, found a number with a fraction"],
    ),
    "true for a number": ("server: {workers: true}\n", ["5: server.workers: expected a whole number, found true"]),
    "too few workers": ("server: {workers: 0}\n", ["5: server.workers: must be at least 1"]),
    "list for a map": ("server: []\n", ["5: server: expected a map of fields, found a list"]),
    "not an address": (
        'server: {listen: "8080"}\n',
        ['5: server.listen: expected an address such as "127.0.0.1:8080", found "8080"'],
    ),
    "bare IPv6 address": (
        'server: {listen: "::1:8080"}\n',
        ['5: server.listen: write an IPv6 address in brackets, such as "[::1]:8080"'],
    ),
    "one address twice": (
        'server: {listen: "127.0.0.1:8081"}\n',
        ["5: server.control: 127.0.0.1:8081 is also server.listen"],
    ),
    "network with host bits": (
        "server: {metrics_allow: [10.0.0.1/8]}\n",
        ['5: server.metrics_allow[0]: "10.0.0.1/8" has bits set beyond its prefix; did you mean "10.0.0.0/8"?'],
    ),
    "a word that is none of a few": (
        "headers: ietff\n",
        ["5: headers: expected 'ietf', 'x-ratelimit', 'both' or 'off', found 'ietff'"],
    ),
    "size without a unit": (
        "spool: {max_size: 10}\n",
        ['5: spool.max_size: expected a size such as "64KiB" or "10MB"'],
    ),
    "size in an odd unit": (
        "spool: {max_size: 10XB}\n",
        ['5: spool.max_size: expected a size such as "64KiB" or "10MB", found "10XB"'],
    ),
    "duration of zero": ("spool: {keep: 0s}\n", ["5: spool.keep: must be longer than zero"]),
    "store of another kind": (
        "store: {url: 'mysql://me:secret@db/x'}\n",
        ['5: store.url: expected "sqlite:///FILE" or "postgresql://USER@HOST/DATABASE"'],
    ),
    "server without a database": (
        "store: {url: 'postgresql://me:secret@db'}\n",
        ['5: store.url: expected "sqlite:///FILE" or "postgresql://USER@HOST/DATABASE"'],
    ),
    "server without a secret": (
        "store: {url: 'postgresql://me:pass@db/x'}\n",
        ["1: accounts.secret: must be set with PostgreSQL, the same on every host"],
    ),
    "short secret": (
        "accounts: {secret: hunter2}\n",
        ["5: accounts.secret: must have at least 32 bytes, or be empty to have one generated in data_dir"],
    ),
    "unknown currency": (
        "billing: {currency: usd}\n",
        ["5: billing.currency: 'usd' is not a currency of ISO 4217, did you mean USD?"],
    ),
    "window that does not exist": (
        limit("name: a, max: 1, per: minut"),
        ['8: plans.p.limits[0].per: "minut" is no window; did you mean "minute"?'],
    ),
    "limit on a meter of no route": (
        limit("name: a, meter: tokenz, max: 1, per: day"),
        ['8: plans.p.limits[0].meter: no route has a meter "tokenz"; did you mean "tokens"?'],
    ),
    "limit on a route that does not exist": (
        limit("name: a, max: 1, per: day, routes: [apy]"),
        ['8: plans.p.limits[0].routes[0]: no route "apy"; did you mean "api"?'],
    ),
    "negative maximum": (limit("name: a, max: -1, per: day"), ["8: plans.p.limits[0].max: must be at least 0"]),
    "limit without a window": (limit("name: a, max: 1"), ["8: plans.p.limits[0]: needs per (or concurrent)"]),
    "concurrent limit with a window": (
        limit("name: a, concurrent: 2, max: 1, per: day"),
        ["8: plans.p.limits[0]: a concurrent limit has no max or per"],
    ),
    "sliding month": (
        limit("name: a, max: 1, per: month, algorithm: sliding"),
        ['8: plans.p.limits[0]: a month has no fixed length for algorithm: sliding; write a duration such as "30d"'],
    ),
    "calendar of 90 s": (
        limit("name: a, max: 1, per: 90s, algorithm: calendar"),
        [
            '8: plans.p.limits[0]: the calendar has no "90s"; use second, minute, hour, day, week, month, year, '
            "billing_period, or algorithm: sliding"
        ],
    ),
    "burst without a bucket": (
        limit("name: a, max: 1, per: minute, burst: 5"),
        ["8: plans.p.limits[0]: burst belongs to algorithm: bucket"],
    ),
    "limit by nobody": (
        limit("name: a, max: 1, per: day, by: user"),
        ["8: plans.p.limits[0].by[0]: expected 'tenant', 'key', 'route' or 'address', found 'user'"],
    ),
    "price of an unknown type": (
        price("type: gradated"),
        ["8: plans.p.prices[0]: unknown type 'gradated'; did you mean \"graduated\"?"],
    ),
    "price without a type": (price("unit: 1"), ["8: plans.p.prices[0]: needs a type"]),
    "price with an unknown field": (
        price("type: per_unit, unit: 1, metre: calls"),
        ['8: plans.p.prices[0].metre: unknown field; did you mean "meter"?'],
    ),
    "tier with an unknown field": (
        price("type: graduated, tiers: [{upto: 5, unit: 1}, {unit: 2}]"),
        ['8: plans.p.prices[0].tiers[0].upto: unknown field; did you mean "up_to"?'],
    ),
    "price on a meter of no route": (
        price("type: per_unit, unit: 1, meter: token"),
        ['8: plans.p.prices[0].meter: no route has a meter "token"; did you mean "tokens"?'],
    ),
    "price in another currency": (
        price("type: per_unit, unit: 1, currency: EUR"),
        ["8: plans.p.prices[0].currency: the plan's currency is USD, and nothing is converted"],
    ),
    "tenant of no plan": ("tenants:\n  acme: {plan: pro}\n", ['6: tenants.acme.plan: no plan "pro"']),
    "tenant with capitals": (
        "plans: {free: {}}\ntenants:\n  Acme: {plan: free}\n",
        ["7: tenants.Acme: must be 1 to 63 of a-z, 0-9, _ . and -, starting with a letter or digit"],
    ),
    "tenant with an id of ours": (
        "plans: {free: {}}\ntenants:\n  ten_x: {plan: free}\n",
        ["7: tenants.ten_x: ids that start with ten_ are given by the gateway"],
    ),
    "unknown time zone": (
        "plans: {free: {}}\ntenants:\n  a: {plan: free, timezone: Europe/Pariss}\n",
        ['7: tenants.a.timezone: unknown time zone "Europe/Pariss"; did you mean "Europe/Paris"?'],
    ),
    "override of no limit": (
        PLANS + "  b: {plan: free, limits: {cals: {max: 5}}}\n",
        ['9: tenants.b.limits.cals: the plan "free" has no limit "cals"; did you mean "calls"?'],
    ),
    "override of nothing": (
        PLANS + "  b: {plan: free, limits: {calls: {}}}\n",
        ["9: tenants.b.limits.calls: overrides nothing; give it a max"],
    ),
    "hash of the wrong form": (
        PLANS + '  b: {plan: free, keys: [{id: k1, hash: "md5:00"}]}\n',
        [
            '9: tenants.b.keys[0].hash: expected "sha256:" and 64 lower-case hex digits, '
            "as gateway keys create --yaml prints"
        ],
    ),
    "one key for two tenants": (
        PLANS + f'  b: {{plan: free, keys: [{{id: k1, hash: "{HASH}"}}]}}\n'
        f'  c: {{plan: free, keys: [{{id: k1, hash: "{HASH}"}}]}}\n',
        [
            '10: tenants.c.keys[0].id: "k1" is also the id of tenants.b.keys[0]',
            "10: tenants.c.keys[0].hash: the same key is tenants.b.keys[0]",
        ],
    ),
    "plugin that is not there": ("plugins: [plugins/nope.py]\n", ["5: plugins[0]: no file plugins/nope.py"]),
}


@pytest.mark.parametrize("name", CASES)
def test_fault(name: str, faults_of) -> None:
    text, expected = CASES[name]
    found = faults_of(BASE + text)
    assert found == [f"gateway.yaml:{line}" for line in expected]


ROUTES = {
    "route to no upstream": (
        "r: {match: {paths: [/a]}, upstream: apy}",
        ['4: routes.r.upstream: no upstream "apy"; did you mean "api"?'],
    ),
    "path without a slash": (
        "r: {match: {paths: [a]}, upstream: api}",
        ["4: routes.r.match.paths[0]: a path starts with / or =/"],
    ),
    "parameter in half a segment": (
        'r: {match: {paths: ["/a{b}"]}, upstream: api}',
        ["4: routes.r.match.paths[0]: a {parameter} is a whole segment"],
    ),
    "lower-case method": (
        "r: {match: {paths: [/a], methods: [get]}, upstream: api}",
        ['4: routes.r.match.methods[0]: methods are upper case: did you mean "GET"?'],
    ),
    "host with a port": (
        'r: {match: {paths: [/a], hosts: ["a.b:80"]}, upstream: api}',
        [
            "4: routes.r.match.hosts[0]: expected a host in lower case and without a port: "
            '"api.example.com" or "*.example.com"'
        ],
    ),
    "meter without a source": (
        "r: {match: {paths: [/a]}, upstream: api, meters: {t: {estimate: 5}}}",
        [
            "4: routes.r.meters.t: a meter has exactly one source (constant, header, json, sse, request_bytes, "
            "response_bytes, duration); found none"
        ],
    ),
    "meter with two sources": (
        "r: {match: {paths: [/a]}, upstream: api, meters: {t: {json: a, sse: b}}}",
        [
            "4: routes.r.meters.t: a meter has exactly one source (constant, header, json, sse, request_bytes, "
            "response_bytes, duration); found json and sse"
        ],
    ),
    "meter with a misspelt source": (
        "r: {match: {paths: [/a]}, upstream: api, meters: {t: {jsn: a}}}",
        ['4: routes.r.meters.t.jsn: unknown field; did you mean "json"?'],
    ),
    "estimate above the bound": (
        "r: {match: {paths: [/a]}, upstream: api, meters: {t: {json: a, estimate: 5, max: 4}}}",
        ["4: routes.r.meters.t.estimate: is above max 4"],
    ),
    "status pattern": (
        "r: {match: {paths: [/a]}, upstream: api, billable: [7xx]}",
        ['4: routes.r.billable[0]: expected a status such as "404" or "2xx"'],
    ),
    "route without a match": ("r: {upstream: api}", ["4: routes.r.match: is required"]),
    "two routes for one path": (
        "r: {match: {paths: [/a]}, upstream: api}\n  s: {match: {paths: [/a/]}, upstream: api}",
        ["3: routes: routes r (/a) and s (/a/) match the same requests"],
    ),
}


@pytest.mark.parametrize("name", ROUTES)
def test_fault_of_a_route(name: str, faults_of) -> None:
    text, expected = ROUTES[name]
    head = 'upstreams:\n  api: {targets: ["http://127.0.0.1:9001"]}\nroutes:\n'
    assert faults_of(f"{head}  {text}\n") == [f"gateway.yaml:{line}" for line in expected]


TARGETS = {
    "ftp://a": 'expected a URL such as "http://127.0.0.1:9001"',
    "http://": 'expected a URL such as "http://127.0.0.1:9001"',
    "http://u:p@a": "must not hold a user or password",
    "http://a/b": "must be scheme, host and port only, without a path",
    "http://a:0": "the port must be 1 to 65535",
    "http://a:70000": "the port must be 1 to 65535",
    "http://a b": "the host has characters that a host cannot have",
}


@pytest.mark.parametrize("url", TARGETS)
def test_fault_of_a_target(url: str, faults_of) -> None:
    text = f'upstreams: {{a: {{targets: ["{url}"]}}}}\nroutes: {{r: {{match: {{paths: [/]}}, upstream: a}}}}\n'
    assert faults_of(text) == [f"gateway.yaml:1: upstreams.a.targets[0]: {TARGETS[url]}"]


def test_all_faults_are_told_at_once_in_file_order(faults_of) -> None:
    text = """\
server: {workers: none}
upstreams:
  api: {targets: ["http://127.0.0.1:9001"], conect_timeout: 2s}
routes:
  a: {match: {paths: ["/a"], method: [GET]}, upstream: apy}
plans:
  p:
    limits:
      - {name: x, max: many, per: day}
      - {name: y, max: 1, per: day, meter: nope}
tenants:
  t: {plan: q}
  u: {plan: p, limits: {z: {max: 1}}, keys: [{id: k, hash: bad}]}
"""
    assert [line.partition(": ")[2] for line in faults_of(text)] == [
        "server.workers: expected a whole number, found text",
        'upstreams.api.conect_timeout: unknown field; did you mean "connect_timeout"?',
        'routes.a.match.method: unknown field; did you mean "methods"?',
        'routes.a.upstream: no upstream "apy"; did you mean "api"?',
        "plans.p.limits[0].max: expected a whole number, found text",
        'plans.p.limits[1].meter: no route has a meter "nope"; known here: calls',
        'tenants.t.plan: no plan "q"; known here: p',
        'tenants.u.keys[0].hash: expected "sha256:" and 64 lower-case hex digits, as gateway keys create --yaml prints',
        'tenants.u.limits.z: the plan "p" has no limit "z"; known here: x, y',
    ]


YAML_FAULTS = {
    "a: [1\nb: 2\n": "gateway.yaml:2: not valid YAML:",
    "a:\n\t- b\n": "gateway.yaml:2: not valid YAML: a tab",
    "{}\n---\n{}\n": "gateway.yaml:2: not valid YAML:",
    "": "gateway.yaml: the configuration is empty",
    "- a\n": "gateway.yaml: the configuration must hold a map of fields",
    "routes: *nope\n": "gateway.yaml:1: not valid YAML:",
    "routes: &a [*a]\n": "gateway.yaml: nested too deeply",
}


@pytest.mark.parametrize("text", YAML_FAULTS)
def test_syntax_errors_are_faults_with_a_line(text: str, faults_of) -> None:
    assert faults_of(text)[0].startswith(YAML_FAULTS[text])


def test_a_field_given_twice_names_both_lines(faults_of, minimal: str) -> None:
    found = faults_of(minimal + "routes: {}\n")
    assert len(found) == 1
    assert found[0].startswith("gateway.yaml:9: routes: given twice; first at ")
    assert found[0].endswith("gateway.yaml:3")


def test_tags_are_refused(faults_of, minimal: str) -> None:
    found = faults_of(minimal + "data_dir: !!python/object/apply:os.system [ls]\n")
    assert any("are not supported" in fault for fault in found)


def test_aliases_of_aliases_end(faults_of, monkeypatch) -> None:
    monkeypatch.setattr(yaml_tree, "MAX_NODES", 100_000)
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    assert "more than" in faults_of("\n".join(levels))[0]


def test_a_missing_main_file(tmp_path) -> None:
    from gateway.config.loader import load
    from gateway.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nope.yaml", {})
    assert len(caught.value.faults) == 1
    assert "cannot read" in str(caught.value)


def test_not_utf8(tmp_path) -> None:
    from gateway.config.loader import load
    from gateway.errors import ConfigError

    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"version: 1\nname: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert str(caught.value) == f"{path}:2: not UTF-8 text"
