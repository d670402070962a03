"""Settings that all tests share."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# No deadline: these tests share two CPUs with what they trace, and time is not what they prove.
settings.register_profile("accel", deadline=None, max_examples=300)
settings.load_profile("accel")

# Plans are those of a host where nobody has measured, whoever runs the tests.
os.environ["ACCEL_COSTS"] = "assumed"

# A shell's background job is started with these ignored, nohup's with SIGHUP, and so would be all
# that tests start: what is sent to end it would not.
for _number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
