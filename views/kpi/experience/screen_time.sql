-- title: Screen time
-- description: Total time, in minutes, that the chat was visible on contacts' screens. Each stretch of visible chat counts in full at the moment it ends.
-- unit: minutes
-- counting: sum
-- source: screen_time.seconds / 60
-- dims: experience, folder, device
SELECT seconds / 60 AS amount, experience, device
FROM event
WHERE kind = 'screen_time'
