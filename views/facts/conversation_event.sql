-- description: Events of a conversation that count, with the device, channel and inbox known by then.
-- key: conversation
-- reads: any
-- index: conversation_no
-- index: kind, day
-- index: day where is_first
SELECT
    tenant_no, at, day, hour, kind, id, contact_no, conversation_no, device, channel, inbox,
    "user", bot, department, sender, result_type, category, is_first, chat_kind
FROM (
    SELECT
        e.tenant_no, e.at, e.day, e.hour, e.kind, e.id, e.contact_no, e.conversation_no,
        -- A device is the contact's: what messages from users and bots say of theirs is not read.
        kpi_admin.last_known(CASE WHEN e.kind <> 'message' OR e.sender = 'contact' THEN e.device END) OVER w AS device,
        kpi_admin.last_known(e.channel) OVER w AS channel,
        kpi_admin.last_known(e.inbox) OVER w AS inbox,
        e."user", e.bot, e.department, e.sender, e.result_type, e.category,
        row_number() OVER w = 1 AS is_first,
        CASE
            WHEN e.kind <> 'result' THEN NULL
            WHEN bool_or(e.kind = 'message' AND e.sender = 'bot') OVER month THEN 'bot chat'
            WHEN bool_or(e.kind = 'result' AND e.result_type = 'lead') OVER month THEN 'lead'
            ELSE 'service chat'
        END AS chat_kind
    FROM event AS e
    JOIN touched ON touched.no = e.conversation_no
    WINDOW
        w AS (PARTITION BY e.conversation_no ORDER BY e.at, e.id),
        month AS (PARTITION BY e.conversation_no, date_trunc('month', e.day::timestamp))
) AS carried
WHERE is_first OR kind IN ('message', 'result', 'field_set', 'notification')
