-- title: Web push double opt-ins
-- description: Different contacts who gave consent to web push by double opt-in at least once in the period.
-- unit: none
-- counting: distinct contacts
-- source: opt_in topic=web_push step=double
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'opt_in' AND topic = 'web_push' AND step = 'double'
