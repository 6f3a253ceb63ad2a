"""What ``gateway check`` warns of."""

from gateway.config.warnings import warnings_of


def test_buckets_with_different_rates_that_are_one_counter(load_text, minimal):
    limits = "[{name: a, max: 5, per: second, algorithm: bucket}, {name: b, max: %s, per: second, algorithm: bucket%s}]"
    text = minimal.replace("[{name: calls, max: 10, per: minute}]", limits)
    assert warnings_of(load_text(text % (5, ""))) == []
    assert warnings_of(load_text(text % (9, ", by: key"))) == []
    [warning] = warnings_of(load_text(text % (9, "")))
    assert warning.startswith("plans.free: limits a, b share one bucket")
