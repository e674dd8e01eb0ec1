-- title: User conversations
-- description: Different conversations in which a user sent at least one message in the period. Split by user, a conversation counts once for each user who wrote in it.
-- unit: none
-- counting: distinct conversations
-- source: message from=user in a conversation
-- dims: user, role, level, device, channel, inbox
SELECT "user", device, channel, inbox
FROM conversation_event
WHERE kind = 'message' AND sender = 'user'
