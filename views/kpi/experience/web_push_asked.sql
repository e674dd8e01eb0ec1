-- title: Asked for web push
-- description: Different contacts who were asked at least once in the period whether they want to receive web push messages.
-- unit: none
-- counting: distinct contacts
-- source: opt_in topic=web_push step=asked
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'opt_in' AND topic = 'web_push' AND step = 'asked'
