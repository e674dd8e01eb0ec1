-- description: Messages, fields and results after a conversation's first notification, with their user and department.
-- key: conversation
-- reads: any
-- joins: user, inbox
-- index: conversation_no
-- index: kind, day
SELECT DISTINCT ON (e.conversation_no, e.at, e.id)
    e.tenant_no, e.at, e.day, e.hour, e.kind, e.id, e.contact_no, e.conversation_no, e.channel,
    coalesce(e."user", s."user") AS "user",
    CASE
        WHEN e."user" IS NULL AND s.id IS NOT NULL THEN s.department
        ELSE coalesce(e.department, u.department, i.department)
    END AS department
FROM conversation_event AS e
JOIN touched ON touched.no = e.conversation_no
JOIN after_sales AS a ON a.conversation_no = e.conversation_no AND (e.at, e.id) > (a.at, a.id)
LEFT JOIN after_sales_session AS s ON s.conversation_no = e.conversation_no AND (s.at, s.id) <= (e.at, e.id)
LEFT JOIN kpi_data."user" AS u ON u.tenant_no = e.tenant_no AND u.id = e."user"
LEFT JOIN kpi_data.inbox AS i ON i.tenant_no = e.tenant_no AND i.id = e.inbox
WHERE e.kind IN ('message', 'field_set', 'result')
ORDER BY e.conversation_no, e.at, e.id, s.at DESC, s.id DESC
