"""Container seccomp profiles: read as rules of a Tracer, written from a compiled filter.

The format is that of the runtime specification (``linux.seccomp`` of config.json), with what
Docker's profiles add: ``archMap``, ``includes``, ``excludes``. It is read as runc reads it, and
libseccomp behind it; where accel differs, ``accel.oci.reader`` says so::

    tracer.enforce(accel.oci.load("profile.json"))
    print(accel.oci.dump(tracer.plan.untraced().compile()))
"""

from accel.oci.profile import FilterRule, Profile
from accel.oci.reader import load, read
from accel.oci.writer import dump

__all__ = ["FilterRule", "Profile", "dump", "load", "read"]
