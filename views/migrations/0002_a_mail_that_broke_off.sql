-- A mail in place of whose answer the mail server broke off is handed over once more.
ALTER TABLE IF EXISTS kpi_admin.report_mail
    ADD COLUMN IF NOT EXISTS broken_off boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS times smallint NOT NULL DEFAULT 1;
