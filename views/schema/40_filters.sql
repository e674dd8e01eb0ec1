-- The filters of a question, taken apart.

-- Refuse a question. `code` is a fixed word (SQLSTATE KP422, the word as the error's constraint name).
CREATE OR REPLACE FUNCTION kpi_admin.refuse(code text, message text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = CASE WHEN code = 'unknown_kpi' THEN 'KP404' ELSE 'KP422' END,
        MESSAGE = message, HINT = coalesce(hint, ''), CONSTRAINT = code;
END
$$;

-- Return a JSON scalar as text; a number is its shortest text (2.0 is 2).
CREATE OR REPLACE FUNCTION kpi_admin.scalar_text(value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'string' THEN RETURN value #>> '{}';
        WHEN 'number' THEN RETURN trim_scale((value #>> '{}')::numeric)::text;
        WHEN 'boolean' THEN RETURN value #>> '{}';
        ELSE PERFORM kpi_admin.refuse('invalid_filter', 'a filter''s value is a text, a number, or a list of them');
    END CASE;
    RETURN NULL;
END
$$;

-- Return the values that one plain string spells: a, ["a","b"], (a|b) with \ before a literal character, {a,b}.
CREATE OR REPLACE FUNCTION kpi_admin.spelled(value text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    inside text := substr(value, 2, greatest(length(value) - 2, 0));
    list jsonb;
BEGIN
    IF value ~ '^\[.*\]$' THEN
        BEGIN
            list := value::jsonb;
            IF jsonb_path_exists(list, '$[*] ? (@.type() != "string" && @.type() != "number")') THEN
                RETURN ARRAY[value];
            END IF;
            RETURN ARRAY(SELECT kpi_admin.scalar_text(e) FROM jsonb_array_elements(list) AS e);
        EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
            RETURN ARRAY[value];
        END;
    ELSIF value ~ '^\{.*\}$' THEN
        RETURN CASE WHEN value = '{}' THEN '{}' ELSE string_to_array(inside, ',') END;
    ELSIF value = '()' THEN
        RETURN '{}';
    -- The last backslash may escape the closing parenthesis itself: then it is no list.
    ELSIF value ~ '^\(.*\)$' AND inside ~ '^(?:\\.|[^\\])*$' THEN
        RETURN ARRAY(
            SELECT regexp_replace(m.part[1], '\\(.)', '\1', 'g')
            FROM regexp_matches(inside || '|', '((?:\\.|[^\\|])*)\|', 'g') WITH ORDINALITY AS m (part, place)
            ORDER BY m.place
        );
    END IF;
    RETURN ARRAY[value];
END
$$;

-- Return whether an id is that of a tenant that this session may see.
CREATE OR REPLACE FUNCTION kpi_admin.is_visible_tenant(id text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN visible.ids IS NULL THEN EXISTS (SELECT FROM kpi_data.tenant_number AS n WHERE n.tenant = id)
        ELSE id = ANY (visible.ids) END
    FROM (SELECT kpi_admin.visible_tenants() AS ids) AS visible
$$;

-- Return what a plain string means without the backslashes that Grafana puts before regular expression characters.
CREATE OR REPLACE FUNCTION kpi_admin.unescaped(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(value, '\\([][\\^$.|?*+(){}/-])', '\1', 'g')
$$;

-- Return the values that a plain string stands for on a dimension; none for a string that means "all".
CREATE OR REPLACE FUNCTION kpi_admin.plain_values(dim text, value text) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    spelled text[];
BEGIN
    IF value IN ('*', '.*', '$__all') THEN
        RETURN '{}';
    ELSIF dim = 'tenant' AND value ~ '^[[({]|\\' THEN
        -- The id of a tenant may look like a spelling of several; of two ways to read it one is enough.
        IF kpi_admin.is_visible_tenant(value) THEN
            RETURN ARRAY[value];
        ELSIF kpi_admin.is_visible_tenant(kpi_admin.unescaped(value)) THEN
            RETURN ARRAY[kpi_admin.unescaped(value)];
        END IF;
    END IF;
    spelled := kpi_admin.spelled(value);
    IF spelled <> ARRAY[value] THEN
        RETURN CASE WHEN spelled && ARRAY['*', '$__all'] THEN '{}' ELSE spelled END;
    ELSIF value LIKE '%\\%' THEN
        RETURN kpi_admin.once(ARRAY[value, kpi_admin.unescaped(value)]);
    END IF;
    RETURN ARRAY[value];
END
$$;

-- Refuse a pattern that is no regular expression by itself, or too long.
CREATE OR REPLACE FUNCTION kpi_admin.check_pattern(dim text, pattern text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF length(pattern) > 1000 THEN
        PERFORM kpi_admin.refuse('invalid_filter', 'a regular expression has at most 1,000 characters');
    END IF;
    PERFORM '' ~ pattern, '' ~ kpi_admin.anchored(pattern);
EXCEPTION WHEN invalid_regular_expression THEN
    PERFORM kpi_admin.refuse('invalid_filter', format('the filter on %s is no regular expression', dim));
END
$$;

-- Return filters as a JSON list of {dim, op, values}. `filters` is an object by dimension, or a list of such objects
-- that all hold.
CREATE OR REPLACE FUNCTION kpi_admin.conditions(filters jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    conditions jsonb := '[]';
    filter record;
    accepted text[];
    operator text;
    list jsonb;
BEGIN
    IF filters IS NULL OR filters IN ('{}', '[]') OR jsonb_typeof(filters) = 'null' THEN
        RETURN conditions;
    ELSIF jsonb_typeof(filters) NOT IN ('object', 'array') THEN
        PERFORM kpi_admin.refuse('invalid_filter', 'filters is an object: {"dimension": "value"}');
    END IF;
    FOR filter IN
        SELECT e.key, e.value
        FROM jsonb_array_elements(
                CASE jsonb_typeof(filters) WHEN 'array' THEN filters ELSE jsonb_build_array(filters) END) AS f,
            jsonb_each(f) AS e
    LOOP
        operator := '=';
        list := filter.value;
        IF jsonb_typeof(list) = 'object' THEN
            operator := list ->> 'op';
            list := list -> 'values';
            IF operator IS NULL OR operator NOT IN ('=', '!=', '=~', '!~') OR list IS NULL THEN
                PERFORM kpi_admin.refuse('invalid_filter',
                    format('the filter on %s needs an op (=, !=, =~ or !~) and values', filter.key));
            END IF;
        END IF;
        list := CASE jsonb_typeof(list) WHEN 'array' THEN list ELSE jsonb_build_array(list) END;
        IF jsonb_typeof(filter.value) <> 'object'
            AND jsonb_array_length(list) = 1 AND jsonb_typeof(list -> 0) = 'string'
        THEN
            accepted := kpi_admin.plain_values(filter.key, list ->> 0);
        ELSE
            accepted := ARRAY(SELECT kpi_admin.scalar_text(e) FROM jsonb_array_elements(list) AS e);
            IF jsonb_typeof(filter.value) <> 'object' AND accepted && ARRAY['*', '$__all'] THEN
                accepted := '{}';
            END IF;
        END IF;
        IF operator IN ('=~', '!~') THEN
            PERFORM kpi_admin.check_pattern(filter.key, pattern) FROM unnest(accepted) AS pattern;
        END IF;
        IF jsonb_array_length(conditions) = 1000 THEN
            PERFORM kpi_admin.refuse('too_many_values', 'a question has at most 1,000 filters');
        ELSIF cardinality(accepted) > 0 THEN
            conditions := conditions
                || jsonb_build_object('dim', filter.key, 'op', operator, 'values', to_jsonb(accepted));
        END IF;
    END LOOP;
    RETURN conditions;
END
$$;

-- Remove duplicates from texts, keeping their order; null stays null.
CREATE OR REPLACE FUNCTION kpi_admin.once(texts text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF cardinality(texts) < 2 THEN
        RETURN texts;
    END IF;
    RETURN ARRAY(
        SELECT n.element FROM unnest(texts) WITH ORDINALITY AS n (element, place)
        GROUP BY n.element ORDER BY min(n.place)
    );
END
$$;

-- Return whether a value meets a condition. The planner writes the same test as SQL for the rows of slices.
CREATE OR REPLACE FUNCTION kpi_admin.meets(actual text, condition jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT (condition ->> 'op' IN ('!=', '!~')) <> (
        SELECT bool_or(CASE WHEN condition ->> 'op' IN ('=~', '!~') THEN actual ~ kpi_admin.anchored(accepted)
            ELSE actual = accepted END)
        FROM jsonb_array_elements_text(condition -> 'values') AS accepted
    )
$$;

-- Return a regular expression that holds for whole texts only. Options that only may stand first stay first; those
-- that choose another syntax (b, e, q) get what that syntax has for anchors and groups.
CREATE OR REPLACE FUNCTION kpi_admin.anchored(pattern text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN options LIKE '%q%' THEN '\A' || regexp_replace(body, '([^[:alnum:]_])', '\\\1', 'g') || '\Z'
        WHEN options LIKE '%b%' THEN options || '^\(' || body || '\)$'
        WHEN options LIKE '%e%' THEN options || '^(' || body || ')$'
        -- After a comment of the expanded syntax the group ends on a line of its own.
        WHEN options LIKE '%x%' THEN options || '\A(?:' || body || E'\n)\\Z'
        ELSE options || '\A(?:' || body || ')\Z'
    END
    FROM (SELECT coalesce(substring(pattern FROM '^\(\?[a-z]+\)'), '') AS options) AS head,
        LATERAL (SELECT substr(pattern, length(options) + 1) AS body) AS tail
$$;
