-- What was loaded, as it came: events (append only) and the latest record of every entity.
-- Names and ids compare by code point everywhere (COLLATE "C"), whatever the database's locale.
CREATE SCHEMA IF NOT EXISTS kpi;
CREATE SCHEMA IF NOT EXISTS kpi_data;
CREATE SCHEMA IF NOT EXISTS kpi_admin;

-- Every tenant that any record named, known by a record of its own or not.
CREATE TABLE IF NOT EXISTS kpi_data.tenant_number (
    tenant_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE IF NOT EXISTS kpi_data.event (
    at timestamptz NOT NULL,
    tenant_no integer NOT NULL,
    load_no integer NOT NULL,
    id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    contact text COLLATE "C",
    experience text COLLATE "C",
    module text COLLATE "C",
    conversation text COLLATE "C",
    channel text COLLATE "C",
    inbox text COLLATE "C",
    "user" text COLLATE "C",
    bot text COLLATE "C",
    department text COLLATE "C",
    device text COLLATE "C",
    sender text COLLATE "C",          -- the record's `from`
    seconds numeric,
    option text COLLATE "C",
    topic text COLLATE "C",
    step text COLLATE "C",
    via text COLLATE "C",
    won boolean,
    field text COLLATE "C",
    door text COLLATE "C",
    score smallint,
    text text,
    correct boolean,
    question text COLLATE "C",
    answer text COLLATE "C",
    points numeric,
    amount numeric,
    result_type text COLLATE "C",
    category text COLLATE "C",
    name text COLLATE "C",
    extra jsonb,
    content uuid NOT NULL,            -- MD5 of the record as parsed JSON, to tell a repeat from a conflict
    PRIMARY KEY (tenant_no, id)
);
-- Loads are appended one after the other, so a block range index finds the new ones for next to nothing.
CREATE INDEX IF NOT EXISTS event_load_no ON kpi_data.event USING brin (load_no);

-- Entities. `load_no` is the load that brought the present record.
CREATE TABLE IF NOT EXISTS kpi_data.tenant (
    tenant_no integer PRIMARY KEY, load_no integer NOT NULL, id text COLLATE "C" NOT NULL,
    name text, timezone text NOT NULL DEFAULT 'UTC', business_type text NOT NULL DEFAULT 'other',
    session_rule text NOT NULL DEFAULT 'inactivity', session_minutes integer NOT NULL DEFAULT 30,
    conversation_url text, extra jsonb
);
CREATE TABLE IF NOT EXISTS kpi_data.folder (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", extra jsonb, PRIMARY KEY (tenant_no, id)
);
CREATE TABLE IF NOT EXISTS kpi_data.experience (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", folder text COLLATE "C", extra jsonb, PRIMARY KEY (tenant_no, id)
);
CREATE TABLE IF NOT EXISTS kpi_data.module (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", experience text COLLATE "C", module_type text COLLATE "C", position integer,
    next jsonb, extra jsonb, PRIMARY KEY (tenant_no, id)
);
CREATE TABLE IF NOT EXISTS kpi_data.location (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", active boolean NOT NULL DEFAULT true, extra jsonb, PRIMARY KEY (tenant_no, id)
);
CREATE TABLE IF NOT EXISTS kpi_data.department (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", location text COLLATE "C", active boolean NOT NULL DEFAULT true,
    extra jsonb, PRIMARY KEY (tenant_no, id)
);
CREATE TABLE IF NOT EXISTS kpi_data.inbox (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", department text COLLATE "C", extra jsonb, PRIMARY KEY (tenant_no, id)
);
CREATE TABLE IF NOT EXISTS kpi_data.channel (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", channel_type text COLLATE "C", active boolean NOT NULL DEFAULT true,
    extra jsonb, PRIMARY KEY (tenant_no, id)
);
CREATE TABLE IF NOT EXISTS kpi_data."user" (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", role text COLLATE "C", level smallint, department text COLLATE "C",
    active boolean NOT NULL DEFAULT true, extra jsonb, PRIMARY KEY (tenant_no, id)
);
CREATE TABLE IF NOT EXISTS kpi_data.bot (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, load_no integer NOT NULL,
    name text COLLATE "C", description text, active boolean NOT NULL DEFAULT true,
    extra jsonb, PRIMARY KEY (tenant_no, id)
);
-- A potential's identity is its month; `ends` names the fields given as null.
CREATE TABLE IF NOT EXISTS kpi_data.potential (
    tenant_no integer NOT NULL, month date NOT NULL, load_no integer NOT NULL,
    inbound_leads numeric, workshop_jobs numeric, sales_advisors numeric, service_advisors numeric,
    website_visitors numeric, ends text[] NOT NULL DEFAULT '{}', extra jsonb,
    PRIMARY KEY (tenant_no, month)
);

-- Loads, and what they set aside.
CREATE TABLE IF NOT EXISTS kpi_admin.load (
    load_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken bigint NOT NULL DEFAULT 0, already_had bigint NOT NULL DEFAULT 0, set_aside bigint NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS kpi_admin.set_aside (
    loaded_at timestamptz NOT NULL, file text NOT NULL, line bigint NOT NULL,
    reason text NOT NULL, raw bytea NOT NULL
);
