-- description: Website visits of a contact that are not within the tenant's session length of the last counted one.
-- key: contact
-- reads: visit
-- index: contact_no
-- index: day
SELECT tenant_no, at, day, hour, kind, id, contact_no, conversation_no
FROM (
    SELECT e.*, kpi_admin.window_start(e.at, t.session_length) OVER w AS opened, lag(e.at) OVER w AS before
    FROM event AS e
    JOIN touched ON touched.no = e.contact_no
    JOIN tenant AS t ON t.tenant_no = e.tenant_no
    WHERE e.kind = 'visit'
    WINDOW w AS (PARTITION BY e.contact_no ORDER BY e.at, e.id)
) AS visits
WHERE at = opened AND before IS DISTINCT FROM at
