-- title: Messages
-- description: Messages sent in conversations by contacts, users and bots. Every message counts, and messages outside a conversation are left out.
-- unit: none
-- counting: count
-- source: message in a conversation
-- dims: device, channel, inbox
-- distribution: yes
SELECT device, channel, inbox
FROM conversation_event
WHERE kind = 'message'
