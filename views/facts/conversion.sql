-- description: Counted visits and effective chats of a tenant in a local month that has counted visits.
-- key: month
-- reads: counted_visit, conversation_event:result
-- index: day
SELECT v.tenant_no, v.day, v.visits, coalesce(c.chats, 0) AS chats
FROM (
    SELECT tenant_no, date_trunc('month', day::timestamp)::date AS day, count(*) AS visits
    FROM counted_visit
    JOIN touched ON counted_visit.day >= touched.month AND counted_visit.day < touched.month + interval '1 month'
    GROUP BY 1, 2
) AS v
LEFT JOIN (
    SELECT tenant_no, date_trunc('month', day::timestamp)::date AS day, count(DISTINCT conversation_no) AS chats
    FROM conversation_event
    JOIN touched
        ON conversation_event.day >= touched.month AND conversation_event.day < touched.month + interval '1 month'
    WHERE kind = 'result'
    GROUP BY 1, 2
) AS c ON c.tenant_no = v.tenant_no AND c.day = v.day
