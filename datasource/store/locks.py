"""Advisory locks: one refresh (or init) at a time, one load at a time, neither stops readers."""

REFRESH_LOCK = 0x6B706901
LOAD_LOCK = 0x6B706902
