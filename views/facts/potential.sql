-- description: Potentials in force from each month with a record; a field holds until a later month names or ends it.
-- key: tenant
-- index: tenant_no
SELECT
    tenant_no, kpi_admin.day_start(zone, month) AS at, month AS day, NULL::timestamptz AS hour,
    'potential' AS kind, to_char(month, 'YYYY-MM') AS id, NULL::integer AS contact_no, NULL::integer AS conversation_no,
    first_value(inbound_leads) OVER (PARTITION BY tenant_no, leads_no ORDER BY month) AS inbound_leads,
    first_value(workshop_jobs) OVER (PARTITION BY tenant_no, jobs_no ORDER BY month) AS workshop_jobs,
    first_value(sales_advisors) OVER (PARTITION BY tenant_no, sales_no ORDER BY month) AS sales_advisors,
    first_value(service_advisors) OVER (PARTITION BY tenant_no, service_no ORDER BY month) AS service_advisors,
    first_value(website_visitors) OVER (PARTITION BY tenant_no, visitors_no ORDER BY month) AS website_visitors
FROM (
    SELECT
        p.*, t.zone,
        count(*) FILTER (WHERE inbound_leads IS NOT NULL OR 'inbound_leads' = ANY (ends)) OVER w AS leads_no,
        count(*) FILTER (WHERE workshop_jobs IS NOT NULL OR 'workshop_jobs' = ANY (ends)) OVER w AS jobs_no,
        count(*) FILTER (WHERE sales_advisors IS NOT NULL OR 'sales_advisors' = ANY (ends)) OVER w AS sales_no,
        count(*) FILTER (WHERE service_advisors IS NOT NULL OR 'service_advisors' = ANY (ends)) OVER w AS service_no,
        count(*) FILTER (WHERE website_visitors IS NOT NULL OR 'website_visitors' = ANY (ends)) OVER w AS visitors_no
    FROM kpi_data.potential AS p
    JOIN touched ON touched.no = p.tenant_no
    JOIN tenant AS t ON t.tenant_no = p.tenant_no
    WINDOW w AS (PARTITION BY p.tenant_no ORDER BY p.month)
) AS named
