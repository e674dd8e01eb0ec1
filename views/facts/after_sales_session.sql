-- description: Sessions in a conversation after its first notification, by the tenant's session rule.
-- key: conversation
-- reads: any
-- joins: user, inbox
-- index: conversation_no
-- index: day
WITH talk AS (
    SELECT
        m.*, t.session_rule, t.session_length,
        coalesce(m.department, u.department, i.department) AS place
    FROM conversation_event AS m
    JOIN touched ON touched.no = m.conversation_no
    JOIN after_sales AS a ON a.conversation_no = m.conversation_no AND (m.at, m.id) > (a.at, a.id)
    JOIN tenant AS t ON t.tenant_no = m.tenant_no
    LEFT JOIN kpi_data."user" AS u ON u.tenant_no = m.tenant_no AND u.id = m."user"
    LEFT JOIN kpi_data.inbox AS i ON i.tenant_no = m.tenant_no AND i.id = m.inbox
    WHERE m.kind = 'message' AND m.sender IN ('contact', 'user')
),

opened AS (
    SELECT *, coalesce(at - lag(at) OVER w > session_length, true) AS opens
    FROM talk WHERE session_rule = 'inactivity'
    WINDOW w AS (PARTITION BY conversation_no ORDER BY at, id)
    UNION ALL
    SELECT *, at = kpi_admin.window_start(at, session_length) OVER w AND lag(at) OVER w IS DISTINCT FROM at
    FROM talk WHERE session_rule = 'fixed'
    WINDOW w AS (PARTITION BY conversation_no ORDER BY at, id)
),

numbered AS (
    SELECT *, count(*) FILTER (WHERE opens) OVER (PARTITION BY conversation_no ORDER BY at, id) AS session_no
    FROM opened
),

-- The message that names the session's user: the first from a user that names one.
staffed AS (
    SELECT DISTINCT ON (conversation_no, session_no) conversation_no, session_no, "user", place
    FROM numbered WHERE sender = 'user' AND "user" IS NOT NULL
    ORDER BY conversation_no, session_no, at, id
)

SELECT
    n.tenant_no, n.at, n.day, n.hour, 'session' AS kind, n.id, n.contact_no, n.conversation_no, n.channel,
    s."user",
    CASE WHEN s."user" IS NOT NULL THEN s.place ELSE n.place END AS department
FROM numbered AS n
LEFT JOIN staffed AS s ON s.conversation_no = n.conversation_no AND s.session_no = n.session_no
WHERE n.opens
