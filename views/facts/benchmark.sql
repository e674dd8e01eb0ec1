-- description: Chats to expect by month: visitors times the conversion of three or more others of the business type.
-- key: all
-- index: tenant_no
WITH by_type AS (
    SELECT t.business_type, c.day, sum(c.chats) AS chats, sum(c.visits) AS visits, array_agg(c.tenant_no) AS tenants
    FROM conversion AS c JOIN tenant AS t ON t.tenant_no = c.tenant_no
    GROUP BY 1, 2
),

-- A month without a conversion ends the one before it, as a potential's null does.
months AS (
    SELECT day FROM by_type UNION SELECT (day + interval '1 month')::date FROM by_type
    UNION SELECT day FROM potential
)

SELECT
    t.tenant_no, kpi_admin.day_start(t.zone, m.day) AS at, m.day, NULL::timestamptz AS hour,
    'benchmark' AS kind, to_char(m.day, 'YYYY-MM') AS id, NULL::integer AS contact_no, NULL::integer AS conversation_no,
    p.website_visitors * b.chats / b.visits AS expected_chats
FROM tenant AS t
CROSS JOIN months AS m
LEFT JOIN by_type AS b ON b.business_type = t.business_type AND b.day = m.day
    AND cardinality(array_remove(b.tenants, t.tenant_no)) >= 3
LEFT JOIN LATERAL (
    SELECT p.website_visitors FROM potential AS p
    WHERE p.tenant_no = t.tenant_no AND p.day <= m.day ORDER BY p.day DESC LIMIT 1
) AS p ON true
WHERE t.tenant_no IN (SELECT tenant_no FROM potential)
