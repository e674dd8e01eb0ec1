-- title: Chat starts
-- description: How often contacts started an experience. Every start counts, also several by one contact, and each experience counts its own starts.
-- unit: none
-- counting: count
-- source: chat_start
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'chat_start'
