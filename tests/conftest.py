"""Settings that all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: these tests share two CPUs with what they trace, and time is not what they prove.
settings.register_profile("accel", deadline=None, max_examples=300)
settings.load_profile("accel")

# Plans are those of a host where nobody has measured, whoever runs the tests.
os.environ["ACCEL_COSTS"] = "assumed"
