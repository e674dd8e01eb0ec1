-- title: Bounces
-- description: Sessions in which the contact neither sent a message nor clicked a button. Always equal to sessions minus sessions with conversation.
-- unit: none
-- counting: sessions
-- source: sessions without conversation
-- dims: experience, folder, device
SELECT experience, device
FROM session
WHERE NOT has_conversation
