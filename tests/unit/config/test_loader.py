"""Files, includes, the environment, defaults and overrides."""

from pathlib import Path

from gateway.config.defaults import DEFAULTS
from gateway.config.loader import load
from gateway.config.snapshot import Address
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.routing.route import Meter, Target

EXAMPLE = """\
version: 1
server: {listen: "127.0.0.1:8080", workers: 2}
headers: off
upstreams:
  weather:
    targets: ["http://127.0.0.1:9001", {url: "https://api.example.com", weight: 2}]
    connect_timeout: 250ms
routes:
  weather:
    match: {paths: ["/weather"], methods: [GET, POST], hosts: []}
    upstream: weather
    meters:
      tokens: {json: usage.total_tokens, estimate: 500, max: 1000000}
      out: response_bytes
      units: {header: X-Units, missing: 0}
plans:
  pro:
    billing: {month: {amount: "99"}, year: {amount: "990"}}
    limits:
      - {name: burst, max: 600, per: minute, by: key}
      - {name: monthly, meter: calls, max: 1000000, per: month, by: tenant, mode: hard, on_store_error: closed}
      - {name: parallel, concurrent: 20, by: [tenant, key, key]}
      - {name: window, max: 5, per: 90s}
      - {name: bucket, max: 10, per: second, algorithm: bucket, burst: 50}
      - {name: hourly, max: 10, per: hour, algorithm: calendar}
      - {name: daily, max: 10, per: day, algorithm: sliding}
      - {name: period, meter: tokens, max: 10, per: billing_period}
    prices:
      - {type: graduated, meter: calls, tiers: [{up_to: 10000, unit: "0"}, {unit: "0.0005"}]}
tenants:
  acme:
    name: Acme Corp
    plan: pro
    start: 2024-01-31
    limits: {monthly: {max: 2000000}, parallel: {concurrent: 40}}
    keys:
      - {id: k1, hash: "sha256:1111111111111111111111111111111111111111111111111111111111111111", expires: 2030-01-01}
"""


def test_the_example_of_the_contract(load_text, tmp_path: Path) -> None:
    snapshot = load_text(EXAMPLE)
    assert snapshot.server.listen == Address("127.0.0.1", 8080)
    assert snapshot.server.workers == 2
    assert snapshot.headers == "off"  # a word, not YAML 1.1's false
    assert snapshot.data_dir == tmp_path / "data"
    upstream = snapshot.upstreams["weather"]
    assert upstream.targets == (Target("http", "127.0.0.1", 9001), Target("https", "api.example.com", 443, 2))
    assert (upstream.connect_timeout_us, upstream.read_timeout_us) == (250_000, 30_000_000)
    tenant = snapshot.tenants["acme"]
    assert (tenant.name, tenant.anchor) == ("Acme Corp", "2024-01-31")
    assert tenant.limits == {"monthly": {"max": 2_000_000}, "parallel": {"max": 40}}
    assert snapshot.keys[0].hash == b"\x11" * 32
    assert snapshot.keys[0].expires_us == 1_893_456_000_000_000


def test_meters(load_text) -> None:
    (route,) = load_text(EXAMPLE).routes
    assert route.meters == (
        Meter("calls", "constant", 1),  # every call is a call
        Meter("tokens", "json", path="usage.total_tokens", estimate=500, max=1_000_000),
        Meter("out", "response_bytes"),
        Meter("units", "header", path="x-units", missing=0),
    )


def test_limits_take_their_algorithm_from_the_window(load_text) -> None:
    limits = {limit.name: limit for limit in load_text(EXAMPLE).plans["pro"].limits}
    minute, day = DurationWindow(60_000_000), DurationWindow(86_400_000_000)
    assert limits["burst"] == Limit("burst", "calls", 600, minute, Algorithm.SLIDING, ("key",))
    assert limits["monthly"] == Limit("monthly", "calls", 1_000_000, CalendarWindow("month"), Algorithm.CALENDAR)
    assert limits["parallel"] == Limit("parallel", "calls", 20, None, Algorithm.CONCURRENT, ("key", "tenant"))
    assert limits["window"].window == DurationWindow(90_000_000)
    assert limits["bucket"] == Limit("bucket", "calls", 10, DurationWindow(1_000_000), Algorithm.BUCKET, burst=50)
    assert limits["hourly"].window == CalendarWindow("hour")
    assert (limits["daily"].algorithm, limits["daily"].window) == (Algorithm.SLIDING, day)
    assert limits["period"].window == CalendarWindow("billing_period")


def test_a_plans_version_is_its_content(load_text, minimal: str) -> None:
    version = load_text(minimal).plans["free"].version
    reordered = minimal.replace("name: calls, max: 10, per: minute", "per: minute, max: 10, name: calls")
    assert len(version) == 12
    assert load_text(reordered).plans["free"].version == version
    assert load_text(minimal.replace("max: 10", "max: 11")).plans["free"].version != version


def test_defaults(load_text, minimal: str) -> None:
    snapshot = load_text(minimal + "billing:\n")
    assert str(snapshot.server.control) == "127.0.0.1:8081"
    assert snapshot.server.portal is None
    assert snapshot.store_url == "sqlite:///data/gateway.db"
    assert (snapshot.spool.max_size, snapshot.spool.keep_us) == (10_000_000_000, 86_400_000_000)
    assert snapshot.source["billing"] == DEFAULTS["billing"]
    assert snapshot.routes[0].billable == ("101", "2xx", "3xx", "4xx")


def test_public_url_follows_the_control_address(load_text, minimal: str) -> None:
    assert load_text(minimal + 'server: {control: "0.0.0.0:9"}\n').server.public_url == "http://127.0.0.1:9"
    given = 'server: {control: "0.0.0.0:9", public_url: "https://gw.example.com/"}\n'
    assert load_text(minimal + given).server.public_url == "https://gw.example.com"


def test_paths_are_relative_to_the_file(load_text, minimal: str, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("")
    assert load_text(minimal + "data_dir: ../state\nplugins: [p.py]\n").plugins == (tmp_path / "p.py",)
    assert load_text(minimal + "data_dir: /var/lib/gw\n").data_dir == Path("/var/lib/gw")


def test_includes_are_merged(load_text) -> None:
    snapshot = load_text(
        {
            "gateway.yaml": "include: [a.yaml, sub/b.yaml]\nserver: {workers: 3}\n",
            "a.yaml": "upstreams: {one: {targets: ['http://a']}}\nserver: {listen: '127.0.0.1:1'}\n",
            "sub/b.yaml": "upstreams: {two: {targets: ['http://b']}}\n"
            "routes: {r: {match: {paths: [/]}, upstream: two}}\ntenants:\n",
        }
    )
    assert sorted(snapshot.upstreams) == ["one", "two"]
    assert (snapshot.server.workers, str(snapshot.server.listen)) == (3, "127.0.0.1:1")
    assert "include" not in snapshot.source


def test_a_name_defined_in_two_files_names_both(faults_of, minimal: str) -> None:
    files = {
        "gateway.yaml": "include: [a.yaml, b.yaml]\nheaders: both\n" + minimal,
        "a.yaml": "routes:\n  api: {upstream: nope}\nheaders: off\n",
        "b.yaml": "tenants:\n\n  acme: {plan: free}\n",
    }
    assert faults_of(files) == [
        "a.yaml:2: routes.api: defined twice: here and at gateway.yaml:6",
        "a.yaml:3: headers: defined twice: here and at gateway.yaml:2",
        "b.yaml:3: tenants.acme: defined twice: here and at gateway.yaml:10",
    ]


def test_faults_of_includes(faults_of, minimal: str) -> None:
    files = {
        "gateway.yaml": "include:\n  - nope.yaml\n  - a.yaml\n  - a.yaml\n" + minimal,
        "a.yaml": "include: [b.yaml]\nplans:\n  x: {limits: [{name: y, mx: 1}]}\n",
    }
    found = faults_of(files)
    assert found[0].startswith("gateway.yaml:2: include[0]: cannot read nope.yaml: No such file")
    assert found[1:] == [
        "gateway.yaml:4: include[2]: a.yaml is included twice",
        "a.yaml:1: include: only the main file may include others",
        'a.yaml:3: plans.x.limits[0].mx: unknown field; did you mean "max"?',
    ]


def test_the_environment_fills_values_in(load_text, minimal: str) -> None:
    text = (
        minimal
        + 'server: {listen: "127.0.0.1:${PORT}", workers: "${N:-3}"}\nbilling: {seller: {name: "$${X}${Y:-}"}}\n'
    )
    snapshot = load_text(text, {"PORT": "99"})
    assert (snapshot.server.listen.port, snapshot.server.workers) == (99, 3)
    assert snapshot.source["billing"]["seller"] == {"name": "${X}"}
    assert load_text(text, {"PORT": "99", "N": "2"}).server.workers == 2


def test_a_value_is_data_not_yaml(load_text, minimal: str) -> None:
    text = minimal + "billing: {seller: {name: '${EVIL}', other: '${TWICE}'}}\n"
    environ = {"EVIL": "x}\nplans: {}\n#", "TWICE": "${EVIL}"}
    assert load_text(text, environ).source["billing"]["seller"] == {"name": environ["EVIL"], "other": "${EVIL}"}


def test_faults_of_the_environment(faults_of, minimal: str) -> None:
    text = minimal + 'data_dir: "${NOPE}"\nheaders: "${1x}"\n'
    assert faults_of(text)[:2] == [
        "gateway.yaml:9: data_dir: the environment variable NOPE is not set, and there is no default",
        "gateway.yaml:9: data_dir: must not be empty",
    ]
    assert "gateway.yaml:10: headers: malformed reference; write ${NAME} or ${NAME:-default}" in faults_of(text)


def test_secrets_are_never_told(faults_of, minimal: str) -> None:
    environ = {"SECRET": "s3cr3t-value"}
    text = (
        minimal + 'headers: "${SECRET}"\nserver: {listen: "${SECRET}"}\nstore: {url: "postgresql://u:${SECRET}@h/d"}\n'
        'accounts: {secret: "${SECRET}"}\nspool: {keep: "${SECRET}"}\n'
    )
    found = faults_of(text, environ)
    assert len(found) == 5
    assert "s3cr3t" not in "\n".join(found)


def test_overrides_are_laid_over(write, minimal: str) -> None:
    overrides = {"server.listen": "127.0.0.1:0", "data_dir": "/tmp/x", "upstreams.api.targets": ["http://b:5"]}
    snapshot = load(write(minimal), {}, overrides)
    assert snapshot.server.listen.port == 0
    assert snapshot.upstreams["api"].targets == (Target("http", "b", 5),)


def test_merge_keys_and_anchors(load_text) -> None:
    text = """\
upstreams:
  a: &base {targets: ["http://a"], read_timeout: 5s}
  b: {<<: *base, targets: ["http://b"]}
routes: {r: {match: {paths: [/]}, upstream: b}}
"""
    upstream = load_text(text).upstreams["b"]
    assert (upstream.targets[0].host, upstream.read_timeout_us) == ("b", 5_000_000)


def test_the_top_level_example_is_valid() -> None:
    root = Path(__file__).parents[3]
    assert load(root / "gateway.yaml", {}).routes
