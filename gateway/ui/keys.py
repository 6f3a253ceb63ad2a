"""The typed keys under which the application holds what its handlers share."""

from aiohttp import web

from gateway.accounts.people import Accounts
from gateway.accounts.sessions import Sessions
from gateway.accounts.throttle import LoginThrottle, Throttle
from gateway.storage.account_values import TenantSettings
from gateway.ui.assets import Assets
from gateway.ui.live import LiveHub
from gateway.ui.once import Once
from gateway.ui.platform_reading import PlatformReader
from gateway.ui.reconciling import Reconciling
from gateway.ui.services import UiServices

SERVICES = web.AppKey("ui_services", UiServices)
SESSIONS = web.AppKey("ui_sessions", Sessions)
ACCOUNTS = web.AppKey("ui_accounts", Accounts)
THROTTLE = web.AppKey("ui_throttle", LoginThrottle)
TRIES = web.AppKey("ui_tries", Throttle)
RECONCILING = web.AppKey("ui_reconciling", Reconciling)
ASSETS = web.AppKey("ui_assets", Assets)
LIVE = web.AppKey("ui_live", LiveHub)
PLATFORM_READER = web.AppKey("ui_platform_reader", PlatformReader)
ONCE = web.AppKey("ui_once", Once)
OF_TENANTS = web.RequestKey("ui_of_tenants", bool)
"""Of a request: it came to the tenants' listener, where the platform's people are nobody."""
WAYS = web.RequestKey("ui_ways", TenantSettings)
"""Of a request: how the visitor's organisation wants dates and figures written."""
