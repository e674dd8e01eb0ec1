-- What a KPI is made of, as lines, and the statement that explains a total of the last 30 days:
-- what the planner (kpi_admin.folded) does for all tenants.
SELECT
    'reads ' || array_to_string(k.reads, ', ')
    || E'\nmade of ' || array_to_string(k.parts, ', ')
    || E'\nview kpi.' || k.kpi_id
    || coalesce((
        SELECT string_agg(
            format(
                E'\n  kpi_slice.%%I of local days %%s to %%s, refreshed %%s',
                s.relation, s.first, s.last, s.refreshed_at::timestamptz(0)
            ),
            '' ORDER BY s.kpi_id, s.first)
        FROM kpi_admin.slice AS s WHERE s.kpi_id = ANY (k.parts)
    ), ''),
    'EXPLAIN (ANALYZE, COSTS OFF) ' || CASE
        WHEN k.fold IN ('value', 'level') THEN format('SELECT * FROM kpi_admin.month_values(%%L)', k.kpi_id)
        ELSE format(
            'SELECT %%s FROM (%%s) AS s JOIN unnest((kpi_admin.plan(%%L, ''total'',
                    kpi_admin.between_instants(kpi_admin.now() - interval ''30 days'', kpi_admin.now(), NULL),
                    NULL, ''[]'', ''{}'', ''day'')).ranges) AS r
                ON s.tenant_no = r.tenant_no AND s.day >= r.first_day AND s.day < r.last_day',
            CASE WHEN k.entity IS NULL THEN 'sum(s.numerator), sum(s.denominator)' ELSE 'count(DISTINCT s.entity)' END,
            kpi_admin.slices(k, '{}', kpi_admin.now()::date - 31, kpi_admin.now()::date + 2), k.kpi_id)
    END
FROM kpi_admin.definition(%s) AS k
