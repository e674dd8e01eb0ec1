-- A changed definition is published by the refresh that made its numbers, and known by what it makes.
ALTER TABLE kpi_admin.kpi ADD COLUMN IF NOT EXISTS form text NOT NULL DEFAULT '';
ALTER TABLE kpi_admin.state
    ADD COLUMN IF NOT EXISTS definitions text,
    ADD COLUMN IF NOT EXISTS publish_due boolean NOT NULL DEFAULT false;
