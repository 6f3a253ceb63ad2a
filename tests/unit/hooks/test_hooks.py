from pathlib import Path

import pytest

from gateway.hooks import Phase, Registry
from gateway.hooks.loader import PluginError, load_plugins
from gateway.routing.route import Route, Target, Upstream

ROUTE = Route("r", Upstream("u", (Target("http", "h", 1),)), ("/",))
PLUGINS = Path(__file__).parents[3] / "plugins"


def test_a_route_gets_only_the_stages_that_apply():
    registry = Registry()
    registry.add(Phase.MEASURE, "a", len)
    registry.add(Phase.MEASURE, "b", repr, applies=lambda route: route.auth == "none")
    registry.add(Phase.MEASURE, "c", str, first=True)
    assert registry.compiled(Phase.MEASURE, ROUTE) == (str, len)
    assert registry.compiled(Phase.RECORD, ROUTE) == ()
    with pytest.raises(ValueError, match="registered twice"):
        registry.add(Phase.MEASURE, "a", len)


def test_the_shipped_plugins_load_and_use_the_hooks_alone():
    registry = load_plugins([PLUGINS / "response_units.py", PLUGINS / "header_rewrite.py"])
    assert [stage.name for stage in registry.stages(Phase.RESPONSE)] == ["response_units", "header_rewrite"]
    for path in PLUGINS.glob("*.py"):
        imports = [line for line in path.read_text().splitlines() if line.startswith(("import", "from"))]
        assert all(line.startswith("from gateway.hooks import") for line in imports)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def register(", "plugin.py:1: SyntaxError"),
        ("import nothing_like_this", "plugin.py:1: ModuleNotFoundError"),
        ("x = 1", "has no function register"),
        ("def register(registry):\n    registry.nothing()", "plugin.py:2: register failed"),
    ],
)
def test_a_broken_plugin_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "plugin.py"
    path.write_text(text)
    with pytest.raises(PluginError, match=message):
        load_plugins([path])
    with pytest.raises(PluginError, match="no such Python file"):
        load_plugins([tmp_path / "absent.py"])
