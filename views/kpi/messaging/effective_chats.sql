-- title: Effective chats
-- description: Different conversations to which a result, lead or service, was added in the period. Several results in one conversation count once.
-- unit: none
-- counting: distinct conversations
-- source: result in a conversation
-- dims: device, channel, inbox, category, user, role, level
-- distribution: yes
SELECT device, channel, inbox, category, "user"
FROM conversation_event
WHERE kind = 'result'
