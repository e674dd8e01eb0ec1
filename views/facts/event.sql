-- description: Every refreshed event, with its local day and hour, and numbers in place of contact and conversation.
-- key: event
-- index: contact_no, at where contact_no is not null
-- index: conversation_no where conversation_no is not null
-- index: kind, day where kind not in ('message', 'click', 'visit')
-- index: day where user_no is not null
-- index: tenant_no, at
SELECT
    e.tenant_no, e.at,
    CASE WHEN NOT t.odd THEN (e.at AT TIME ZONE t.zone)::date ELSE kpi_admin.local_day(t.zone, e.at) END AS day,
    -- The full local hour; in a zone whose clock changes within an hour, the change if that is later.
    CASE WHEN NOT t.odd
        THEN e.at - (e.at AT TIME ZONE t.zone - date_trunc('hour', e.at AT TIME ZONE t.zone))
        ELSE (kpi_admin.hour_of(t.zone, e.at)).starts
    END AS hour,
    e.type AS kind, e.id, c.contact_no, v.conversation_no, s.user_no,
    e.experience, e.module, e.channel, e.inbox, e."user", e.bot, e.department, e.device, e.sender,
    e.seconds, e.option, e.topic, e.step, e.via, e.won, e.field, e.score, e.correct, e.question, e.answer,
    e.points, e.amount, e.result_type, e.category
FROM kpi_data.event AS e
JOIN touched ON touched.no = e.tenant_no AND e.load_no > touched.after
JOIN tenant AS t ON t.tenant_no = e.tenant_no
LEFT JOIN contact AS c ON c.tenant_no = e.tenant_no AND c.contact = e.contact
LEFT JOIN conversation AS v ON v.tenant_no = e.tenant_no AND v.conversation = e.conversation
LEFT JOIN staff AS s ON s.tenant_no = e.tenant_no AND s."user" = e."user"
-- A setting is known to the planner, who then reads the new loads' blocks only.
WHERE e.load_no > current_setting('kpi.after', true)::integer
