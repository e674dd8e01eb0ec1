-- What the server calls, one statement for each request. Each function takes the hash of the token that came with it.

-- Return, for each question, the key under which its answer may be kept; null for one that is refused, or that is never
-- kept.
--
-- Here and below, only what a question can be refused for is caught: the product's own refusals (SQLSTATE KP…) and
-- values that PostgreSQL cannot use (22…, which is `data_exception`). KP000 stands for its class, as every SQLSTATE
-- that ends in 000. Anything else, a cancelled statement or a deadlock, say, ends the request.
CREATE FUNCTION kpi_http.keys(token_hash bytea, questions jsonb) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked jsonb;
    understood text;
BEGIN
    PERFORM kpi_http.enter(token_hash);
    FOR asked IN SELECT one FROM jsonb_array_elements(questions) AS one LOOP
        BEGIN
            understood := kpi_http.understood(asked);
        EXCEPTION WHEN SQLSTATE 'KP000' OR data_exception THEN
            understood := NULL;
        END;
        RETURN NEXT understood;
    END LOOP;
END
$$;

-- Return how many bytes an answer has at most: each is held by the database and by the process that sends it.
CREATE FUNCTION kpi_http.most_bytes() RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 67108864 $$;

-- Return how many bytes an answer's parts have, before it is put together; refuse more than `most_bytes`: whoever sends
-- records may send texts of a megabyte.
CREATE FUNCTION kpi_http.check_bytes(bytes bigint) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF bytes > kpi_http.most_bytes() THEN
        PERFORM kpi_admin.refuse('answer_too_large', 'the answer would have more than 64 MiB',
            'Take a shorter range, fewer groups, or a smaller page.');
    END IF;
    RETURN bytes;
END
$$;

-- Return the parts of an answer: its rows, or the frames of POST /query.
CREATE FUNCTION kpi_http.body_parts(kind text, q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF kind = 'rows' THEN
        RETURN QUERY SELECT row FROM kpi_http.rows(q) AS row;
    ELSE
        RETURN QUERY SELECT frame FROM kpi_http.frames(q) AS frame;
    END IF;
END
$$;

-- Return an answer with commas between its parts.
CREATE FUNCTION kpi_http.body(kind text, q kpi_http.question) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    WITH parts AS MATERIALIZED (
        SELECT part FROM kpi_http.body_parts(kind, q) AS part
    ), size AS MATERIALIZED (
        SELECT kpi_http.check_bytes(sum(octet_length(parts.part))) AS bytes FROM parts
    )
    SELECT string_agg(parts.part, ',') FROM size CROSS JOIN parts WHERE size.bytes >= 0
$$;

-- Return the answers to questions, in order: the range that each uses (null for lists), and its rows or frames with
-- commas between. A question that is refused has its refusal in place of its answer. `kind` is rows or frames.
CREATE FUNCTION kpi_http.answers(token_hash bytea, kind text, questions jsonb)
RETURNS TABLE (starts text, ends text, body text, refused jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked jsonb;
    q kpi_http.question;
    visible text;
    state text;
    code text;
    message text;
    hint text;
BEGIN
    PERFORM kpi_http.enter(token_hash);
    visible := current_setting('kpi.tenants');
    FOR asked IN SELECT one FROM jsonb_array_elements(questions) AS one LOOP
        -- A tenant of which nothing is loaded, and which one question names, is not seen by the next.
        PERFORM set_config('kpi.tenants', visible, true);
        BEGIN
            q := kpi_http.read(asked);
            SELECT u.starts, u.ends, NULL INTO starts, ends, refused FROM kpi_http.used_range(q) AS u;
            body := kpi_http.body(kind, q);
        EXCEPTION WHEN SQLSTATE 'KP000' OR data_exception THEN
            GET STACKED DIAGNOSTICS
                state = RETURNED_SQLSTATE, code = CONSTRAINT_NAME, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
            starts := NULL;
            ends := NULL;
            body := NULL;
            refused := jsonb_build_object('state', state, 'code', code, 'message', message, 'hint', hint);
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Return the answer to a request that is no question: the texts that the function of its name gives for the
-- request's fields, with commas between. Refuse a request of another name.
CREATE FUNCTION kpi_http.answer_request(token_hash bytea, request_name text, asked jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found text;
BEGIN
    PERFORM kpi_http.enter(token_hash);
    IF request_name <> ALL (kpi_http.requests()) THEN
        RAISE EXCEPTION 'there is no request %', left(request_name, 100) USING ERRCODE = 'undefined_function';
    END IF;
    EXECUTE format(
        'WITH parts AS MATERIALIZED (
             SELECT part FROM kpi_http.%I($1) AS part
         ), size AS MATERIALIZED (
             SELECT kpi_http.check_bytes(sum(octet_length(parts.part))) AS bytes FROM parts
         )
         SELECT string_agg(parts.part, '','') FROM size CROSS JOIN parts WHERE size.bytes >= 0', request_name)
    INTO found USING asked;
    RETURN found;
END
$$;

-- Return what a file is made with: the time zone of its times, the range that it uses and that range's first and last
-- date by the tenants' own clocks, its columns.
CREATE FUNCTION kpi_http.export(
    token_hash bytea, asked jsonb,
    OUT zone text, OUT starts text, OUT ends text, OUT first_day date, OUT last_day date, OUT columns text[]
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    q kpi_http.question;
BEGIN
    PERFORM kpi_http.enter(token_hash);
    q := kpi_http.read(asked);
    zone := kpi_http.common_zone(q.conditions);
    SELECT u.starts, u.ends INTO starts, ends FROM kpi_http.used_range(q) AS u;
    IF q.list IS NOT NULL THEN
        -- A list has no plan of its own; its range is that of any KPI by the day.
        q.plans := ARRAY[kpi_http.plan_of_tenants(q, 'nps_answers', '{}')];
    END IF;
    -- A range of which now leaves nothing, or of no tenant, has the dates of where it ends.
    SELECT min(coalesce(r.first_day, (r.starts AT TIME ZONE r.zone)::date)),
        max(coalesce(r.last_day - 1, (r.ends AT TIME ZONE r.zone)::date))
    INTO first_day, last_day FROM unnest(q.plans) AS p, unnest(p.ranges) AS r;
    first_day := coalesce(first_day, ((q.plans[1]).asked_end AT TIME ZONE zone)::date);
    last_day := coalesce(last_day, first_day);
    columns := ARRAY(SELECT c FROM kpi_http.column_names(q) AS c);
END
$$;

-- Return the rows of a file.
CREATE FUNCTION kpi_http.export_rows(token_hash bytea, asked jsonb) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM kpi_http.enter(token_hash);
    RETURN QUERY SELECT r FROM kpi_http.rows(kpi_http.read(asked)) AS r;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA kpi_http FROM PUBLIC;
GRANT USAGE ON SCHEMA kpi_http TO kpi_server;
GRANT EXECUTE ON FUNCTION kpi_http.seconds_to_wait, kpi_http.state, kpi_http.keys, kpi_http.answers,
    kpi_http.answer_request, kpi_http.export, kpi_http.export_rows TO kpi_server;
