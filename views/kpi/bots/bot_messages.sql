-- title: Bot messages
-- description: Messages that bots sent in conversations. Every message counts, also one that does not name its bot.
-- unit: none
-- counting: count
-- source: message from=bot in a conversation
-- dims: bot
SELECT bot
FROM conversation_event
WHERE kind = 'message' AND sender = 'bot'
