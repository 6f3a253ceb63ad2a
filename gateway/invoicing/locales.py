"""How a tenant's language writes numbers: groups of thousands, the decimal sign. Machines get plain numbers."""

from gateway.billing.wording import grouped_text

NARROW = "\u00a0"  # every font has it, unlike the narrow one that typographers prefer
_COMMA = dict.fromkeys(("da", "de", "el", "es", "hr", "id", "is", "it", "nl", "pt", "ro", "sl", "sr", "tr", "vi"), ".")
_SPACE = dict.fromkeys(
    ("bg", "cs", "et", "fi", "fr", "hu", "lt", "lv", "nb", "no", "pl", "ru", "sk", "sv", "uk"), NARROW
)
_GROUPS = {**_COMMA, **_SPACE}
_REGIONS = {"de-CH": ("’", "."), "de-LI": ("’", "."), "it-CH": ("’", "."), "es-MX": (",", "."), "de-AT": (NARROW, ",")}


def figure(text: str, locale: str) -> str:
    """A plain number such as ``-1234.50`` as people of that language read it; English where it is not known."""
    return marked(grouped_text(text), locale)


def marked(text: str, locale: str) -> str:
    """A figure that is grouped as in English, with the marks of a language."""
    language = locale.partition("-")[0]
    group, point = _REGIONS.get(locale) or ((_GROUPS[language], ",") if language in _GROUPS else (",", "."))
    return text.replace(",", "\0").replace(".", point).replace("\0", group)
