-- description: Conversations that a notification opened: whether the contact joined, and a user engaged after that.
-- key: conversation
-- reads: any
-- index: conversation_no
-- index: day
WITH invited AS (
    SELECT DISTINCT ON (n.conversation_no) n.*
    FROM conversation_event AS n
    JOIN touched ON touched.no = n.conversation_no
    WHERE n.kind = 'notification'
    ORDER BY n.conversation_no, n.at, n.id
),

joined AS (
    SELECT DISTINCT ON (m.conversation_no) m.conversation_no, m.at, m.id
    FROM invited AS i
    JOIN conversation_event AS m ON m.conversation_no = i.conversation_no AND (m.at, m.id) > (i.at, i.id)
    WHERE m.kind = 'message' AND m.sender = 'contact'
    ORDER BY m.conversation_no, m.at, m.id
)

SELECT
    i.tenant_no, i.at, i.day, i.hour, 'conversation' AS kind, i.id, i.contact_no, i.conversation_no, i.channel,
    j.id IS NOT NULL AS joined,
    EXISTS (
        SELECT FROM conversation_event AS m
        WHERE m.conversation_no = j.conversation_no AND (m.at, m.id) > (j.at, j.id)
            AND m.kind = 'message' AND m.sender = 'user'
    ) AS engaged
FROM invited AS i
LEFT JOIN joined AS j ON j.conversation_no = i.conversation_no
