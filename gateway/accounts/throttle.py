"""How often somebody may fail to log in: a leaky bucket per account and per address. Pure of clocks; bounded memory."""

from collections import OrderedDict

from gateway.clock import MINUTE_US

MAX_ENTRIES = 10_000


class Throttle:
    """Each failure adds one drop, one drop leaks every ``leak_us``; more than ``burst`` drops and it is closed."""

    def __init__(self, burst: int, leak_us: int) -> None:
        self._burst = burst
        self._leak_us = leak_us
        self._empty_at: OrderedDict[str, int] = OrderedDict()

    def wait_us(self, key: str, now_us: int) -> int:
        """How long until another attempt is allowed; 0 when it is allowed now."""
        return max(0, self._empty_at.get(key, 0) - now_us - (self._burst - 1) * self._leak_us)

    def failed(self, key: str, now_us: int) -> None:
        """Count a failure. The entry that failed longest ago makes room when the table is full."""
        self._empty_at[key] = max(self._empty_at.get(key, 0), now_us) + self._leak_us
        self._empty_at.move_to_end(key)
        if len(self._empty_at) > MAX_ENTRIES:
            self._empty_at.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the key's failures."""
        self._empty_at.pop(key, None)


class LoginThrottle:
    """Five tries and then one a minute for an account; thirty and then ten a minute for an address.

    An attempt is counted before the password is looked at and forgiven when it was right, so that many attempts at
    the same moment do not slip through together.
    """

    def __init__(self) -> None:
        self._accounts = Throttle(5, MINUTE_US)
        self._addresses = Throttle(30, MINUTE_US // 10)

    def admit(self, account: str, address: str, now_us: int) -> int:
        """0 when the attempt may go on (and is counted), else how long to wait, in microseconds."""
        wait = max(self._accounts.wait_us(account, now_us), self._addresses.wait_us(address, now_us))
        if wait == 0:
            self._accounts.failed(account, now_us)
            self._addresses.failed(address, now_us)
        return wait

    def admit_address(self, address: str, now_us: int) -> int:
        """The same for an attempt that names no account."""
        wait = self._addresses.wait_us(address, now_us)
        if wait == 0:
            self._addresses.failed(address, now_us)
        return wait

    def succeeded(self, account: str) -> None:
        """The password was right: the account starts anew; the address keeps its count (it may be a guesser's too)."""
        self._accounts.succeeded(account)
