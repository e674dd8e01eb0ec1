-- title: Reminder double opt-ins
-- description: Different contacts who gave consent to reminders by double opt-in at least once in the period.
-- unit: none
-- counting: distinct contacts
-- source: opt_in topic=reminder step=double
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'opt_in' AND topic = 'reminder' AND step = 'double'
