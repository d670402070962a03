"""Named constants, generated: data alone. ``accel.decoding.families`` looks them up."""
