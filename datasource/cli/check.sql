-- What is looked at and, after the arrow, what mends it. Each query gives what is wrong: nothing, when all is well;
-- where there is a second column, a query, the first one tells what is wrong if that gives rows.

-- definitions -> run chatkpi init
SELECT coalesce(i.kpi_id, k.kpi_id) || CASE WHEN k.kpi_id IS NULL THEN ' is not in the database' ELSE ' is not in the package' END
FROM unnest(%(kpis)s::text[]) AS i (kpi_id) FULL JOIN kpi_admin.kpi AS k USING (kpi_id)
WHERE (i.kpi_id IS NULL OR k.kpi_id IS NULL) AND NOT (SELECT publish_due FROM kpi_admin.state);

-- views -> run chatkpi refresh
SELECT kpi_id || ' is not built' FROM kpi_admin.kpi WHERE stale ORDER BY position;

-- freshness -> run chatkpi refresh, and keep chatkpi refresh --watch 60 running
SELECT max(behind)::interval(0) || ' behind' FROM kpi.freshness HAVING max(behind) > %(minutes)s * interval '1 minute';

-- a token -> run chatkpi token create
SELECT 'there is no valid one'
WHERE NOT EXISTS (SELECT FROM kpi_admin.token WHERE revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true));

-- bounces + sessions with conversation = sessions -> run chatkpi refresh --full
SELECT concat_ws(' ', tenant_id, day, experience, device)
FROM (
    SELECT tenant_id, day, experience, device, value FROM kpi.sessions
    UNION ALL SELECT tenant_id, day, experience, device, -value FROM kpi.bounces
    UNION ALL SELECT tenant_id, day, experience, device, -value FROM kpi.sessions_with_conversation
) AS signed
GROUP BY tenant_id, day, experience, device
HAVING sum(value) <> 0;

-- after-sales phases: invited >= joined >= engaged -> run chatkpi refresh --full
(SELECT concat_ws(' ', tenant_id, day, conversation, 'joined') FROM kpi.after_sales_joined
EXCEPT SELECT concat_ws(' ', tenant_id, day, conversation, 'joined') FROM kpi.after_sales_invited)
UNION ALL
(SELECT concat_ws(' ', tenant_id, day, conversation, 'engaged') FROM kpi.after_sales_engaged
EXCEPT SELECT concat_ws(' ', tenant_id, day, conversation, 'engaged') FROM kpi.after_sales_joined);

-- a cumulated series ends at the total (every KPI, 90 days) -> run chatkpi refresh --full
SELECT format('%%s: %%s, not %%s', c.kpi_id, p.value, t.value)
FROM kpi.catalog AS c
CROSS JOIN (SELECT kpi_admin.now() - interval '90 days' AS starts, kpi_admin.now() AS ends) AS r
CROSS JOIN LATERAL kpi.total(c.kpi_id, r.starts, r.ends) AS t
CROSS JOIN LATERAL (
    SELECT s.value FROM kpi.series(c.kpi_id, r.starts, r.ends, cumulative => true) AS s ORDER BY s.bucket DESC LIMIT 1
) AS p
WHERE p.value IS DISTINCT FROM t.value;

-- slices equal a fresh computation (a sample of 100) -> run chatkpi refresh --full
SELECT relation, format('(TABLE %%1$s EXCEPT ALL (%%2$s)) UNION ALL ((%%2$s) EXCEPT ALL TABLE %%1$s) LIMIT 1', relation, rtrim(definition, ';'))
FROM pg_catalog.pg_matviews CROSS JOIN LATERAL format('kpi_slice.%%I', matviewname) AS relation
WHERE schemaname = 'kpi_slice' AND matviewname NOT IN (SELECT relation FROM kpi_admin.retired_slice)
ORDER BY random() LIMIT 100;

-- days as folded equal their slices (a sample of 100) -> run chatkpi refresh --full
SELECT s.relation || ': its days', format(
    '(SELECT tenant_no, day, %%1$s::numeric FROM kpi_slice.%%2$I GROUP BY 1, 2
      EXCEPT SELECT tenant_no, day, %%3$s FROM kpi_admin.day_amount WHERE kpi_id = %%4$L) LIMIT 1',
    CASE WHEN k.entity IS NULL THEN 'sum(amount)' ELSE 'count(DISTINCT entity)' END, s.relation,
    CASE WHEN k.entity IS NULL THEN 'amount' ELSE 'new[cardinality(new)]' END, k.kpi_id)
FROM kpi_admin.slice AS s JOIN kpi_admin.kpi AS k USING (kpi_id)
WHERE k.fold IN ('sum', 'distinct')
ORDER BY random() LIMIT 100;
