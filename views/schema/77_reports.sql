-- The daily report by e-mail: who gets it, who asked for it, what was sent. Addresses are read by the owner alone, as
-- whom `chatkpi report` connects. The server can ask that an address be written to, and hand in a signed link.

-- What links are signed with: made once, and known to nobody outside the database.
CREATE TABLE IF NOT EXISTS kpi_admin.report_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), key bytea NOT NULL
);
INSERT INTO kpi_admin.report_key (key)
SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) ON CONFLICT DO NOTHING;

-- Addresses to be asked whether they want a report. A row goes when its link has expired.
CREATE TABLE IF NOT EXISTS kpi_admin.report_request (
    request_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no integer NOT NULL, experience text COLLATE "C" NOT NULL, address text COLLATE "C" NOT NULL,
    language text NOT NULL, datasource text NOT NULL,
    token_name text NOT NULL,           -- the token that let its holder ask
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    handed_over_at timestamptz          -- when the mail was; null: it is still to be sent
);
CREATE INDEX IF NOT EXISTS report_request_address ON kpi_admin.report_request (address);

-- Who gets which report. A row goes when the reader says so, and the address with it.
CREATE TABLE IF NOT EXISTS kpi_admin.report_subscription (
    subscription_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no integer NOT NULL, experience text COLLATE "C" NOT NULL, address text COLLATE "C" NOT NULL,
    language text NOT NULL, datasource text NOT NULL, token_name text NOT NULL,
    confirmed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (tenant_no, experience, address)
);
-- The mails about a local day. A row is there before the mail server is told that the mail is complete, so that no mail
-- goes out twice. One that has neither answer was on its way when something was killed: it may have arrived. Where the
-- server broke off in place of an answer, the mail is handed over a second time and no more.
CREATE TABLE IF NOT EXISTS kpi_admin.report_mail (
    subscription_no bigint NOT NULL REFERENCES kpi_admin.report_subscription ON DELETE CASCADE,
    day date NOT NULL,
    handed_over_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted_at timestamptz,            -- the mail server took it
    refused text,                       -- or what it said in refusing it for good
    broken_off boolean NOT NULL DEFAULT false,          -- or it broke off
    times smallint NOT NULL DEFAULT 1,  -- how often the mail was handed over
    PRIMARY KEY (subscription_no, day)
);
-- When a reporter last looked, and since when the mail server has been in trouble.
CREATE TABLE IF NOT EXISTS kpi_admin.report_run (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), ran_at timestamptz, failing_since timestamptz, trouble text
);
INSERT INTO kpi_admin.report_run DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Return HMAC-SHA256 (RFC 2104) of a message, by a key of at most 64 bytes.
CREATE OR REPLACE FUNCTION kpi_admin.hmac_sha256(message bytea, key bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    inside bytea := key || decode(repeat('00', 64 - length(key)), 'hex');
    outside bytea := inside;
BEGIN
    FOR place IN 0..63 LOOP
        inside := set_byte(inside, place, get_byte(inside, place) # 54);
        outside := set_byte(outside, place, get_byte(outside, place) # 92);
    END LOOP;
    RETURN sha256(outside || sha256(inside || message));
END
$$;

-- Return what a link carries, signed: base64url of the JSON, a point, the signature in hexadecimal digits.
CREATE OR REPLACE FUNCTION kpi_admin.signed_link(said jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.text || '.' || encode(kpi_admin.hmac_sha256(convert_to(t.text, 'UTF8'), k.key), 'hex')
    FROM kpi_admin.report_key AS k, LATERAL (
        SELECT translate(encode(convert_to(said::text, 'UTF8'), 'base64'), E'+/=\n', '-_') AS text
    ) AS t
$$;

-- Return what a signed link of a purpose says; refuse one that is not ours, or of yesterday. Signatures are compared by
-- their own signatures, so that the time it takes tells nothing.
CREATE OR REPLACE FUNCTION kpi_admin.opened_link(link text, purpose text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    secret bytea := (SELECT k.key FROM kpi_admin.report_key AS k);
    body text := translate(split_part(link, '.', 1), '-_', '+/');
    said jsonb;
BEGIN
    IF link ~ '^[A-Za-z0-9_-]+\.[0-9a-f]{64}$'
        AND kpi_admin.hmac_sha256(decode(split_part(link, '.', 2), 'hex'), secret) = kpi_admin.hmac_sha256(
            kpi_admin.hmac_sha256(convert_to(split_part(link, '.', 1), 'UTF8'), secret), secret)
    THEN
        said := convert_from(decode(rpad(body, (length(body) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb;
    END IF;
    IF said IS NULL OR said ->> 'purpose' IS DISTINCT FROM purpose THEN
        PERFORM kpi_admin.refuse('invalid_link', 'this link is not complete, or not one of ours',
            'Copy the whole link from the mail, or open the bell of the dashboard again.');
    ELSIF (said ->> 'until')::timestamptz < clock_timestamp() THEN
        PERFORM kpi_admin.refuse('expired_link', 'this link has expired',
            'Open the bell of the dashboard again for a new one.');
    END IF;
    RETURN said;
END
$$;

-- Return whether a token is in force and sees a tenant.
CREATE OR REPLACE FUNCTION kpi_admin.token_sees(token_name text, of_tenant_no integer) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM kpi_admin.token AS t
        WHERE t.name = token_name AND kpi_admin.is_in_force(t) AND (t.tenants IS NULL OR (
            SELECT n.tenant FROM kpi_data.tenant_number AS n WHERE n.tenant_no = of_tenant_no
        ) = ANY (t.tenants))
    )
$$;

-- Return the experiences of a tenant: those with a record, and those with events.
CREATE OR REPLACE FUNCTION kpi_admin.experiences(of_tenant_no integer) RETURNS TABLE (id text, name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.id, coalesce(e.name, i.id)
    FROM (
        SELECT x.id FROM kpi_data.experience AS x WHERE x.tenant_no = of_tenant_no
        UNION SELECT s.experience FROM kpi_fact.experience_start AS s WHERE s.tenant_no = of_tenant_no
    ) AS i
    LEFT JOIN kpi_data.experience AS e ON e.tenant_no = of_tenant_no AND e.id = i.id
    ORDER BY coalesce(e.name, i.id) COLLATE "C", i.id
$$;

-- Return the names of a tenant and of an experience of it.
CREATE OR REPLACE FUNCTION kpi_admin.report_names(of_tenant_no integer, of_experience text)
RETURNS TABLE (tenant text, tenant_name text, experience_name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT n.tenant, coalesce(t.name, n.tenant), coalesce(e.name, of_experience)
    FROM kpi_data.tenant_number AS n
    LEFT JOIN kpi_data.tenant AS t USING (tenant_no)
    LEFT JOIN kpi_data.experience AS e ON e.tenant_no = n.tenant_no AND e.id = of_experience
    WHERE n.tenant_no = of_tenant_no
$$;

-- Return a report: the tenant, the names, each KPI on a local day with the day before and the usual of its weekday, and
-- one KPI day by day up to it. Numbers are texts, so that no digit is lost.
CREATE OR REPLACE FUNCTION kpi_admin.report(
    of_tenant text, of_experience text, day date, kpis text[], pictured text, days integer
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number integer := (SELECT n.tenant_no FROM kpi_data.tenant_number AS n WHERE n.tenant = of_tenant);
    conditions jsonb := kpi_admin.conditions(jsonb_build_object(
        'tenant', jsonb_build_object('op', '=', 'values', jsonb_build_array(of_tenant)),
        'experience', jsonb_build_object('op', '=', 'values', jsonb_build_array(of_experience))
    ));
    the_day kpi_admin.asked_range := (NULL, NULL, day, day + 1, NULL);
    several_days kpi_admin.asked_range := (NULL, NULL, day + 1 - days, day + 1, NULL);
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'tenant_name', names.tenant_name, 'experience_name', names.experience_name,
            'numbers', (
                SELECT jsonb_agg(jsonb_build_array(
                    asked.kpi_id, trim_scale(before.value)::text, trim_scale(before.compared)::text,
                    trim_scale(usual.compared)::text
                ) ORDER BY asked.place)
                FROM unnest(kpis) WITH ORDINALITY AS asked (kpi_id, place)
                CROSS JOIN LATERAL kpi_admin.answer(kpi_admin.plan(
                    asked.kpi_id, 'total', the_day, NULL, conditions, '{}', NULL, NULL, 'previous')) AS before
                CROSS JOIN LATERAL kpi_admin.answer(kpi_admin.plan(
                    asked.kpi_id, 'total', the_day, NULL, conditions, '{}', NULL, NULL, 'usual')) AS usual
            ),
            'days', (
                SELECT jsonb_agg(trim_scale(a.value)::text ORDER BY a.bucket_start)
                FROM kpi_admin.answer(kpi_admin.plan(
                    pictured, 'series', several_days, 'day', conditions, '{}', NULL)) AS a
            )
        )
        FROM kpi_admin.report_names(number, of_experience) AS names
    );
END
$$;

-- Return the reports that are to be sent now: from an hour of the tenant's own clock on, about the day before, once a
-- refresh has been there since that day ended, under a token that still sees the tenant. `stop` is a link to end it,
-- `starts` and `ends` are the day's instants.
CREATE OR REPLACE FUNCTION kpi_admin.reports_due(hour integer) RETURNS TABLE (
    subscription_no bigint, tenant text, experience text, address text, language text, datasource text,
    day date, starts timestamptz, ends timestamptz, stop text
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.subscription_no, n.tenant, s.experience, s.address, s.language, s.datasource,
        today.date - 1, kpi_admin.day_start(zone.name, today.date - 1), today.starts,
        kpi_admin.signed_link(jsonb_build_object(
            'purpose', 'stop', 'subscription', s.subscription_no, 'language', s.language))
    FROM kpi_admin.report_subscription AS s
    JOIN kpi_data.tenant_number AS n USING (tenant_no)
    CROSS JOIN kpi_admin.state
    LEFT JOIN kpi_fact.tenant AS t USING (tenant_no)
    CROSS JOIN LATERAL (SELECT coalesce(t.zone, 'UTC') AS name) AS zone
    CROSS JOIN LATERAL (
        SELECT d.date, kpi_admin.day_start(zone.name, d.date) AS starts
        FROM (SELECT kpi_admin.local_day(zone.name, kpi_admin.now()) AS date) AS d
    ) AS today
    WHERE kpi_admin.now() >= kpi_admin.first_instant(zone.name, today.date + hour * interval '1 hour')
        AND state.refreshed_at >= today.starts
        AND kpi_admin.token_sees(s.token_name, s.tenant_no)
        AND NOT EXISTS (
            SELECT FROM kpi_admin.report_mail AS m
            WHERE m.subscription_no = s.subscription_no AND m.day = today.date - 1
                AND NOT (m.broken_off AND m.times = 1)
        )
    ORDER BY n.tenant, s.experience, s.language, s.subscription_no
$$;

-- Return the requests whose mail is still to be sent, each with the link that answers it: to start the report, or to
-- end it where the address gets it already.
CREATE OR REPLACE FUNCTION kpi_admin.report_requests() RETURNS TABLE (
    request_no bigint, address text, language text, tenant_name text, experience_name text, is_subscribed boolean,
    link text
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.request_no, r.address, r.language, names.tenant_name, names.experience_name,
        s.subscription_no IS NOT NULL,
        kpi_admin.signed_link(CASE WHEN s.subscription_no IS NULL
            THEN jsonb_build_object('purpose', 'start', 'request', r.request_no, 'language', r.language,
                'until', r.asked_at + interval '48 hours')
            ELSE jsonb_build_object('purpose', 'stop', 'subscription', s.subscription_no, 'language', r.language) END)
    FROM kpi_admin.report_request AS r
    CROSS JOIN LATERAL kpi_admin.report_names(r.tenant_no, r.experience) AS names
    LEFT JOIN kpi_admin.report_subscription AS s USING (tenant_no, experience, address)
    WHERE r.handed_over_at IS NULL AND r.asked_at > clock_timestamp() - interval '48 hours'
    ORDER BY r.request_no
$$;

-- Forget requests whose links have expired, and what was sent long ago.
CREATE OR REPLACE FUNCTION kpi_admin.tidy_reports() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM kpi_admin.report_request WHERE asked_at < clock_timestamp() - interval '48 hours';
    DELETE FROM kpi_admin.report_mail WHERE handed_over_at < clock_timestamp() - interval '40 days'
$$;

-- What the server may call: a link to ask by, for who holds a token; and what its readers' links do.

-- Return a link by which its holder can ask for reports of a tenant that the token sees, for an hour.
CREATE FUNCTION kpi_http.report_link(token_hash bytea, asked jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number integer;
BEGIN
    PERFORM kpi_http.enter(token_hash);
    PERFORM kpi_http.authorise_filters(jsonb_build_object(
        'tenant', jsonb_build_object('op', '=', 'values', jsonb_build_array(asked ->> 'tenant'))));
    SELECT n.tenant_no INTO number FROM kpi_data.tenant_number AS n WHERE n.tenant = asked ->> 'tenant';
    IF number IS NULL THEN
        PERFORM kpi_admin.refuse('no_experiences', 'nothing has been loaded of this tenant');
    END IF;
    RETURN kpi_admin.signed_link(jsonb_build_object(
        'purpose', 'ask', 'tenant_no', number, 'language', asked ->> 'language',
        'experience', asked ->> 'experience', 'address', asked ->> 'address', 'datasource', asked ->> 'datasource',
        'token', (SELECT t.name FROM kpi_admin.token AS t WHERE t.hash = token_hash),
        'until', clock_timestamp() + interval '1 hour'));
END
$$;

-- Return what a link says, with names: of a link to ask by also the experiences to choose from.
CREATE FUNCTION kpi_http.report_said(link text, purpose text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said jsonb := kpi_admin.opened_link(link, purpose);
BEGIN
    IF purpose = 'ask' THEN
        RETURN (
            SELECT said || jsonb_build_object(
                'tenant', names.tenant, 'tenant_name', names.tenant_name,
                'experiences', (
                    SELECT coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'name', e.name)), '[]')
                    FROM kpi_admin.experiences((said ->> 'tenant_no')::integer) AS e
                ))
            FROM kpi_admin.report_names((said ->> 'tenant_no')::integer, '') AS names
        );
    END IF;
    RETURN said || coalesce((
        SELECT jsonb_build_object('tenant_name', names.tenant_name, 'experience_name', names.experience_name)
        FROM (
            SELECT r.tenant_no, r.experience FROM kpi_admin.report_request AS r
            WHERE purpose = 'start' AND r.request_no = (said ->> 'request')::bigint
            UNION ALL
            SELECT s.tenant_no, s.experience FROM kpi_admin.report_subscription AS s
            WHERE purpose = 'stop' AND s.subscription_no = (said ->> 'subscription')::bigint
        ) AS about
        CROSS JOIN LATERAL kpi_admin.report_names(about.tenant_no, about.experience) AS names
    ), '{}');
END
$$;

-- Have an address asked whether it wants a report; its form is looked at by the server. Nothing that comes back tells
-- whether the address gets it already, or was asked a while ago: then it is not asked again. The seconds to wait when
-- the link's token has asked for too many in an hour.
CREATE FUNCTION kpi_http.ask_for_report(link text, of_experience text, to_address text, in_language text)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    said jsonb := kpi_admin.opened_link(link, 'ask');
    number integer := said ->> 'tenant_no';
    hour_ago timestamptz := clock_timestamp() - interval '1 hour';
    recent bigint;
BEGIN
    IF NOT kpi_admin.token_sees(said ->> 'token', number) THEN
        PERFORM kpi_admin.refuse('expired_link', 'the access behind this link has ended');
    ELSIF NOT EXISTS (SELECT FROM kpi_admin.experiences(number) AS e WHERE e.id = of_experience) THEN
        PERFORM kpi_admin.refuse('unknown_experience', 'there is no such experience');
    END IF;
    -- One at a time, so that many at once do not get past the limits together.
    LOCK TABLE kpi_admin.report_request IN SHARE ROW EXCLUSIVE MODE;
    SELECT count(*) INTO recent FROM kpi_admin.report_request AS r
    WHERE r.token_name = said ->> 'token' AND r.asked_at > hour_ago;
    IF recent >= 100 THEN
        RETURN 3600;
    END IF;
    INSERT INTO kpi_admin.report_request (tenant_no, experience, address, language, datasource, token_name)
    SELECT number, of_experience, to_address, in_language, said ->> 'datasource', said ->> 'token'
    WHERE NOT EXISTS (
        SELECT FROM kpi_admin.report_request AS r
        WHERE r.address = to_address AND r.tenant_no = number AND r.experience = of_experience AND r.asked_at > hour_ago
    ) AND (
        SELECT count(*) FROM kpi_admin.report_request AS r
        WHERE r.address = to_address AND r.asked_at > clock_timestamp() - interval '1 day'
    ) < 5;
    RETURN NULL;
END
$$;

-- Start a report that its reader has confirmed.
CREATE FUNCTION kpi_http.start_report(link text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said jsonb := kpi_admin.opened_link(link, 'start');
    r kpi_admin.report_request;
BEGIN
    SELECT * INTO r FROM kpi_admin.report_request AS one WHERE one.request_no = (said ->> 'request')::bigint;
    IF r IS NULL OR NOT kpi_admin.token_sees(r.token_name, r.tenant_no) THEN
        PERFORM kpi_admin.refuse('expired_link', 'this link has expired',
            'Open the bell of the dashboard again for a new one.');
    END IF;
    INSERT INTO kpi_admin.report_subscription (tenant_no, experience, address, language, datasource, token_name)
    VALUES (r.tenant_no, r.experience, r.address, r.language, r.datasource, r.token_name)
    ON CONFLICT (tenant_no, experience, address) DO UPDATE
    SET language = excluded.language, datasource = excluded.datasource, token_name = excluded.token_name;
END
$$;

-- End a report, and forget its address unless it gets others; also when it has ended before.
CREATE FUNCTION kpi_http.stop_report(link text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said jsonb := kpi_admin.opened_link(link, 'stop');
    s kpi_admin.report_subscription;
BEGIN
    DELETE FROM kpi_admin.report_subscription AS one
    WHERE one.subscription_no = (said ->> 'subscription')::bigint RETURNING * INTO s;
    DELETE FROM kpi_admin.report_request AS r
    WHERE r.address = s.address AND r.tenant_no = s.tenant_no AND r.experience = s.experience;
END
$$;

REVOKE ALL ON FUNCTION kpi_http.report_link, kpi_http.report_said, kpi_http.ask_for_report, kpi_http.start_report,
    kpi_http.stop_report FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kpi_http.report_link, kpi_http.report_said, kpi_http.ask_for_report, kpi_http.start_report,
    kpi_http.stop_report TO kpi_server;
