-- description: The contact's first click or message in an experience after a chat start there and before the next one.
-- key: contact
-- reads: chat_start, click, message
-- index: contact_no
-- index: day
SELECT tenant_no, at, day, hour, kind, id, contact_no, conversation_no, experience, device
FROM (
    SELECT e.*, lag(e.kind) OVER (PARTITION BY e.contact_no, e.experience ORDER BY e.at, e.id) AS before
    FROM event AS e
    JOIN touched ON touched.no = e.contact_no
    WHERE e.experience IS NOT NULL
        AND (e.kind IN ('chat_start', 'click') OR (e.kind = 'message' AND e.sender = 'contact'))
) AS steps
WHERE kind <> 'chat_start' AND before = 'chat_start'
