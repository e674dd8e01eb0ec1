-- title: Total handling time
-- description: Handling time of all live chats that ended in the period, added up and given in minutes.
-- unit: minutes
-- counting: sum
-- source: live_chat.seconds / 60
-- dims: experience, folder, device
SELECT seconds / 60 AS amount, experience, device
FROM event
WHERE kind = 'live_chat'
