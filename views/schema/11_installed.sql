-- The views that schema files make, as they were made: `init` leaves one alone that is still so, since to make it again
-- would wait for everybody who reads it.
CREATE TABLE IF NOT EXISTS kpi_admin.made_view (
    view text PRIMARY KEY, statement uuid NOT NULL, definition uuid NOT NULL        -- MD5 of both
);

-- When `init` or `forget` last changed what the next refresh has to follow.
CREATE TABLE IF NOT EXISTS kpi_admin.changed (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
