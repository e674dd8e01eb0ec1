-- title: Active conversations
-- description: Different conversations with at least one message in the period, from the contact, a user or a bot. A conversation that is active on several days counts once.
-- unit: none
-- counting: distinct conversations
-- source: message in a conversation
-- dims: device, channel, inbox
-- distribution: yes
SELECT device, channel, inbox
FROM conversation_event
WHERE kind = 'message'
