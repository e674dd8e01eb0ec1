-- title: User messages
-- description: Messages that users, the members of staff, sent in conversations. Every message counts, and messages from contacts and bots do not.
-- unit: none
-- counting: count
-- source: message from=user in a conversation
-- dims: user, role, level, device, channel, inbox
SELECT "user", device, channel, inbox
FROM conversation_event
WHERE kind = 'message' AND sender = 'user'
