-- description: Stretches of a contact's activity that hold a message, each with the experience in which it began.
-- key: contact
-- reads: message, click
-- index: contact_no
-- index: day
WITH activity AS (
    SELECT e.*, t.session_rule, t.session_length
    FROM event AS e
    JOIN touched ON touched.no = e.contact_no
    JOIN tenant AS t ON t.tenant_no = e.tenant_no
    WHERE e.kind IN ('message', 'click') AND e.experience IS NOT NULL
),

opened AS (
    SELECT *, coalesce(at - lag(at) OVER w > session_length, true) AS opens
    FROM activity WHERE session_rule = 'inactivity'
    WINDOW w AS (PARTITION BY contact_no ORDER BY at, id)
    UNION ALL
    SELECT *, at = kpi_admin.window_start(at, session_length) OVER w AND lag(at) OVER w IS DISTINCT FROM at
    FROM activity WHERE session_rule = 'fixed'
    WINDOW w AS (PARTITION BY contact_no ORDER BY at, id)
),

numbered AS (
    SELECT *, count(*) FILTER (WHERE opens) OVER (PARTITION BY contact_no ORDER BY at, id) AS session_no
    FROM opened
)

SELECT
    tenant_no, min(at) AS at, min(day) FILTER (WHERE opens) AS day, min(hour) FILTER (WHERE opens) AS hour,
    'session' AS kind, min(id) FILTER (WHERE opens) AS id, contact_no, NULL::integer AS conversation_no,
    min(experience) FILTER (WHERE opens) AS experience,
    (array_agg(device ORDER BY at, id) FILTER (WHERE device IS NOT NULL))[1] AS device,
    bool_or(kind = 'click' OR sender = 'contact') AS has_conversation
FROM numbered
GROUP BY tenant_no, contact_no, session_no
HAVING bool_or(kind = 'message')
