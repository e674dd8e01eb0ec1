-- title: Sessions with conversation
-- description: Sessions in which the contact sent a message or clicked a button at least once. Each counts when the session starts, under the experience of its first activity.
-- unit: none
-- counting: sessions
-- source: holds a click or message of the contact
-- dims: experience, folder, device
SELECT experience, device
FROM session
WHERE has_conversation
