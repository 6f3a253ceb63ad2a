"""The card: what to try first, on one screen. Every key, URL and command stands alone on its line, plain."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """What the card tells. ``url`` is a page of the API through the gateway; ``try_calls`` exceeds the limit."""

    tenant: str
    key: str
    url: str
    limit: str
    try_calls: int
    portal: str
    admin: str
    others: tuple[tuple[str, str], ...]
    plans: str


def render(card: Card) -> str:
    """The card's lines. The key to try comes first, and the first URL is that of the first curl."""
    auth = f'-H "X-API-Key: {card.key}"'
    # curl expands [1-12] itself, also in the fragment, which it does not send: one command, twelve equal calls.
    loop = f'curl -s -o /dev/null -w "%{{http_code}}\\n" {auth} "{card.url}#[1-{card.try_calls}]"'
    lines = [
        "",
        f"The gateway runs. The key of {card.tenant}, on the free plan{card.limit}:",
        card.key,
        "A metered call (200):",
        f'curl -i {auth} "{card.url}"',
        "The same without a key (401):",
        f'curl -i "{card.url}"',
        "As often as it takes to meet the limit (429):",
        loop,
        f"The portal of {card.tenant}; the link logs in once:",
        card.portal,
        "The admin pages; this link too logs in once:",
        card.admin,
    ]
    for label, key in card.others:
        lines += [f"The key of {label}:", key]
    lines += [
        f"Edit {card.plans} and save: watch the limit change.",
        "Ctrl-C drains and stops; the next start goes on with the same keys and data.",
        "",
    ]
    return "\n".join(lines)
