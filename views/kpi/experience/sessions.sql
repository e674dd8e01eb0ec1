-- title: Sessions
-- description: Stretches of chat activity of one contact, across all experiences, with at least one message from anyone. By default a new one opens after more than the tenant's session length (30 minutes unless set otherwise) of inactivity.
-- unit: none
-- counting: sessions
-- source: Sessions
-- dims: experience, folder, device
SELECT experience, device
FROM session
