"""With ``GATEWAY_COMPILED=require`` the suites run what ``make compile`` made, and without it the sources."""

import os

from gateway import compiled

if os.environ.get(compiled.SETTING):
    compiled.use()
