-- description: Lead results after a bot's message in the same conversation, once for each bot that had sent one.
-- key: conversation
-- reads: any
-- index: conversation_no
-- index: day
WITH bot_message AS (
    SELECT DISTINCT ON (m.conversation_no, m.bot) m.conversation_no, m.bot, m.at, m.id
    FROM conversation_event AS m
    JOIN touched ON touched.no = m.conversation_no
    WHERE m.kind = 'message' AND m.sender = 'bot'
    ORDER BY m.conversation_no, m.bot, m.at, m.id
)

SELECT r.tenant_no, r.at, r.day, r.hour, r.kind, r.id, r.contact_no, r.conversation_no, m.bot
FROM conversation_event AS r
JOIN touched ON touched.no = r.conversation_no
JOIN bot_message AS m ON m.conversation_no = r.conversation_no AND (m.at, m.id) < (r.at, r.id)
WHERE r.kind = 'result' AND r.result_type = 'lead'
