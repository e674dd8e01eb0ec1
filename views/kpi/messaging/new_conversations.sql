-- title: New conversations
-- description: Conversations created in the period. A conversation is created at its first event, whether that is a message or anything else.
-- unit: none
-- counting: count
-- source: a conversation's first event
-- dims: device, channel, inbox
-- distribution: yes
SELECT device, channel, inbox
FROM conversation_event
WHERE is_first
