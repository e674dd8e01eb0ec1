-- title: Chatpoints
-- description: How often bots passed a chatpoint, a marked step of the bot. Every passing counts, also of the same chatpoint again.
-- unit: none
-- counting: count
-- source: chatpoint
-- dims: bot
SELECT bot
FROM event
WHERE kind = 'chatpoint'
