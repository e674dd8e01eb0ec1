-- title: Bot leads
-- description: Different conversations that got a lead result in the period after a bot had sent a message in them. Split by bot, a conversation counts once for each bot that wrote before the result.
-- unit: none
-- counting: distinct conversations
-- source: result result_type=lead in a conversation where the bot sent a message before it
-- dims: bot
SELECT bot
FROM bot_lead
