-- title: Live chats
-- description: Live chats handled by a user, a member of staff. Each live chat counts once, when it ends.
-- unit: none
-- counting: count
-- source: live_chat
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'live_chat'
