-- title: Points (V1)
-- description: Sum of the points (V1) that bots collected.
-- unit: none
-- counting: sum
-- source: bot_points.points
-- dims: bot
SELECT points AS amount, bot
FROM event
WHERE kind = 'bot_points'
