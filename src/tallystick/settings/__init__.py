"""Settings from the environment: the fields of each section in a file of its own, read and checked in ``load``."""
