"""How figures are written for people: pure functions, registered as template filters under their own names."""

from decimal import Decimal
from zoneinfo import ZoneInfo

from gateway.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from gateway.period import from_us

_SCALES = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
_BYTES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_DATES = {"iso": "%Y-%m-%d", "dmy": "%d/%m/%Y", "mdy": "%m/%d/%Y"}
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}


def number(value: int) -> str:
    """``12,345``."""
    return f"{value:,}"


def compact(value: int) -> str:
    """At most four digits: ``999``, ``12.3k``, ``4.56M``; cut, never rounded up, so that 999,999 is not 1M."""
    for scale, letter in _SCALES:
        if abs(value) >= scale:
            hundredths = abs(value) * 100 // scale
            whole, rest = divmod(hundredths, 100)
            text = f"{whole}.{rest:02d}" if whole < 10 else f"{whole}.{rest // 10}" if whole < 100 else f"{whole}"
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return ("-" if value < 0 else "") + text + letter
    return str(value)


def size(value: int) -> str:
    """Bytes as ``12 B``, ``1.5 KiB``."""
    for scale, unit in _BYTES:
        if value >= scale:
            return f"{value / scale:.1f} {unit}"
    return f"{value} B"


def duration(us: int) -> str:
    """``<1 ms``, ``12 ms``, ``1.24 s``, ``3 min``, ``5 h``, ``2 d``."""
    if us < 1000:
        return "<1 ms"
    if us < 10_000:
        return f"{us / 1000:.1f} ms"
    if us < SECOND_US:
        return f"{us // 1000} ms"
    if us < 10 * SECOND_US:
        return f"{us / SECOND_US:.2f} s"
    for unit, name, until in ((SECOND_US, "s", MINUTE_US), (MINUTE_US, "min", HOUR_US), (HOUR_US, "h", 2 * DAY_US)):
        if us < until:
            return f"{us // unit} {name}"
    return f"{us // DAY_US} d"


def ago(us: int, now_us: int) -> str:
    """``just now``, ``12 s ago``, ``in 3 h``."""
    delta = now_us - us
    if abs(delta) < 2 * SECOND_US:
        return "just now"
    distance = abs(delta)
    whole = duration(distance) if distance >= 10 * SECOND_US else f"{distance // SECOND_US} s"
    return f"{whole} ago" if delta > 0 else f"in {whole}"


def moment(us: int, zone: str = "UTC", style: str = "") -> str:
    """``2026-11-20 13:05:12 UTC``, in the tenant's zone and way of writing dates."""
    return from_us(us).astimezone(ZoneInfo(zone)).strftime(f"{_DATES.get(style, '%Y-%m-%d')} %H:%M:%S %Z")


def day(us: int, zone: str = "UTC", style: str = "") -> str:
    """``1 Nov 2026``, in the tenant's zone and way of writing dates."""
    local = from_us(us).astimezone(ZoneInfo(zone))
    return local.strftime(_DATES[style]) if style in _DATES else f"{local.day} {local:%b %Y}"


def iso(us: int) -> str:
    """RFC 3339 in UTC, for ``<time datetime>``."""
    return from_us(us).strftime("%Y-%m-%dT%H:%M:%SZ")


def money(amount: Decimal, currency: str) -> str:
    """``$1,234.50`` or ``12.345 KWD``: the digits as they are given, grouped; rounding is the rating's business."""
    sign = "−" if amount < 0 else ""
    text = f"{abs(amount):,f}"
    symbol = _SYMBOLS.get(currency)
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text} {currency}"


def percent(part: int, whole: int) -> str:
    """``82 %``; one decimal below ten; cut towards zero so that 99.96 % is not shown as full."""
    if whole <= 0:
        return "0 %"
    tenths = part * 1000 // whole
    return f"{tenths // 10} %" if tenths >= 100 or tenths % 10 == 0 else f"{tenths / 10:.1f} %"


FIGURES = {f.__name__: f for f in (number, compact, size, duration, money, percent)}
FILTERS = {f.__name__: f for f in (ago, iso)}
