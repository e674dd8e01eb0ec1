-- title: Bot started
-- description: How often a bot was started in a conversation. Every start counts, also several in the same conversation.
-- unit: none
-- counting: count
-- source: bot_start
-- dims: bot
SELECT bot
FROM event
WHERE kind = 'bot_start'
