-- Contacts that were forgotten (`chatkpi forget`): what keeps them out, and what a refresh has yet to do about it.

-- Made once, and known to nobody: a hash by it can be compared, and not be looked up in a list of phone numbers.
CREATE TABLE IF NOT EXISTS kpi_admin.forget_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), key bytea NOT NULL
);
INSERT INTO kpi_admin.forget_key (key)
SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) ON CONFLICT DO NOTHING;

-- All that is kept of a forgotten contact: HMAC-SHA256 of tenant and contact (datasource/store/forgotten.py).
CREATE TABLE IF NOT EXISTS kpi_admin.forgotten (hash bytea PRIMARY KEY);

-- Events taken out of kpi_fact.event since the last refresh, a row each: months, contacts and conversations whose facts
-- and slices the next one computes anew. It empties the table.
CREATE TABLE IF NOT EXISTS kpi_admin.erased_event (
    kind text COLLATE "C" NOT NULL, day date NOT NULL, contact_no integer, conversation_no integer
);
