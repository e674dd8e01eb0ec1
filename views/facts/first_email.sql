-- description: The first mail address that a contact ever entered.
-- key: contact
-- reads: email_entered
-- index: contact_no
-- index: day
SELECT DISTINCT ON (e.contact_no)
    e.tenant_no, e.at, e.day, e.hour, e.kind, e.id, e.contact_no, e.conversation_no, e.experience, e.device, e.module
FROM event AS e
JOIN touched ON touched.no = e.contact_no
WHERE e.kind = 'email_entered'
ORDER BY e.contact_no, e.at, e.id
