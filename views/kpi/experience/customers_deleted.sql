-- title: Customers deleted
-- description: Deletions of contacts. Every recorded deletion counts, so a contact that is deleted twice counts twice.
-- unit: none
-- counting: count
-- source: contact_deleted
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'contact_deleted'
