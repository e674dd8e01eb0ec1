-- title: Chats by kind
-- description: Different conversations with a result in the month, by kind: bot chat if a bot wrote in it that month, else lead if it got a lead result, else service chat. Within a month each has one kind.
-- unit: none
-- counting: distinct conversations
-- source: effective chats
-- dims: chat_kind
-- grain: month
SELECT chat_kind
FROM conversation_event
WHERE kind = 'result'
