-- Every run of `chatkpi load`, also one that found nothing new: a loader that stopped is told from one with nothing
-- to do.
CREATE TABLE IF NOT EXISTS kpi_admin.load_run (
    run_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,             -- null while it runs, and for ever when it died
    taken bigint, already_had bigint, set_aside bigint
);
CREATE INDEX IF NOT EXISTS set_aside_loaded_at ON kpi_admin.set_aside (loaded_at);
