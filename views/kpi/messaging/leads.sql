-- title: Leads
-- description: Different conversations to which a result of type lead, one with contact information, was added in the period. Several leads in one conversation count once.
-- unit: none
-- counting: distinct conversations
-- source: result result_type=lead in a conversation
-- dims: device, channel, inbox, category
-- distribution: yes
SELECT device, channel, inbox, category
FROM conversation_event
WHERE kind = 'result' AND result_type = 'lead'
