-- title: MECs
-- description: Monthly engaged contacts: different contacts who sent at least one message of their own in a conversation in the calendar month. Messages from users and bots do not count.
-- unit: none
-- counting: distinct contacts
-- source: message from=contact in a conversation
-- grain: month
SELECT
FROM conversation_event
WHERE kind = 'message' AND sender = 'contact'
