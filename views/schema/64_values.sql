-- The values of each dimension in each slice: menus read these few rows in place of the slices. A slice never changes,
-- so its row stays right for as long as the slice stands; a slice without one is read itself. So is one whose values
-- hold more than a row may: whoever can send records can send many long ones.
CREATE TABLE IF NOT EXISTS kpi_admin.slice_value (
    dim text NOT NULL, relation text NOT NULL, tenant_no integer NOT NULL, found text[] NOT NULL,
    PRIMARY KEY (dim, relation, tenant_no)
);
CREATE INDEX IF NOT EXISTS slice_value_relation ON kpi_admin.slice_value (relation);

-- Return how many bytes of values are noted at most, of a dimension in a slice.
CREATE OR REPLACE FUNCTION kpi_admin.noted_bytes() RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT 100000000 $$;

-- Bring kpi_admin.slice_value up to date, after the slices of a refresh. Return how many slices were read for it.
CREATE OR REPLACE FUNCTION kpi_admin.note_values() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unread record;
    slices integer := 0;
BEGIN
    DELETE FROM kpi_admin.slice_value AS noted
    WHERE NOT EXISTS (SELECT FROM kpi_admin.slice AS slice WHERE slice.relation = noted.relation);
    FOR unread IN
        SELECT slice.relation, string_agg(format(
            '(WITH found AS MATERIALIZED (SELECT DISTINCT tenant_no, %I AS value FROM kpi_slice.%I)
              SELECT %L, %L, tenant_no, array_agg(value) FROM found
              WHERE (SELECT sum(octet_length(value)) FROM found) <= %s GROUP BY tenant_no)',
            columns.attname, slice.relation, columns.attname, slice.relation, kpi_admin.noted_bytes()), ' UNION ALL '
        ) AS rows
        FROM kpi_admin.slice AS slice
        JOIN pg_catalog.pg_attribute AS columns
            ON columns.attrelid = to_regclass(format('kpi_slice.%I', slice.relation)) AND columns.attnum > 0
        JOIN kpi_admin.dim AS dim ON dim.dim = columns.attname AND dim.parent_of IS NULL
        WHERE NOT EXISTS (SELECT FROM kpi_admin.slice_value AS noted WHERE noted.relation = slice.relation)
        GROUP BY slice.relation
    LOOP
        EXECUTE 'INSERT INTO kpi_admin.slice_value (dim, relation, tenant_no, found) ' || unread.rows;
        slices := slices + 1;
    END LOOP;
    PERFORM kpi_admin.note_freshness();
    RETURN slices;
END
$$;
SELECT kpi_admin.note_values();
