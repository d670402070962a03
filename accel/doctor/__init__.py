"""What works on this host and, for each thing that does not, what to type.

``examine`` returns one ``Check`` for each thing; what the kernel can do is tried, never concluded
from a version. A ``Host`` says where to look, so that any tree of files can be examined.
"""

from accel.doctor.check import Check, State
from accel.doctor.examination import INDISPENSABLE, examine, hindrances
from accel.doctor.host import Host

__all__ = ["INDISPENSABLE", "Check", "Host", "State", "examine", "hindrances"]
