-- title: Web push single opt-ins
-- description: Different contacts who gave consent to web push by single opt-in at least once in the period.
-- unit: none
-- counting: distinct contacts
-- source: opt_in topic=web_push step=single
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'opt_in' AND topic = 'web_push' AND step = 'single'
