-- How many tenants there are, the time zone of those asked about, and the question's ends as
-- instants: dates are midnights there. Tenants of several zones: midnights in UTC which, with
-- UTC as the viewer's zone, mean the same dates in each tenant's own.
WITH asked AS (
    SELECT clock IS NULL AS several, coalesce(clock, 'UTC') AS zone
    FROM (
        SELECT kpi_admin.one_clock(array_agg(t.zone)) AS clock
        FROM kpi_admin.asked_tenants(kpi_admin.conditions(%(filters)s)) AS t
    ) AS common
)
SELECT (SELECT count(*) FROM kpi_data.tenant_number), zone, CASE WHEN several THEN 'UTC' END,
    CASE WHEN length(%(from)s::text) = 10 THEN kpi_admin.day_start(zone, %(from)s::date) ELSE %(from)s::timestamptz END,
    CASE WHEN length(%(to)s::text) = 10 THEN kpi_admin.day_start(zone, %(to)s::date) ELSE %(to)s::timestamptz END
FROM asked
