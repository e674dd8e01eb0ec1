-- title: Pins failed
-- description: Login attempts in which the contact entered a wrong pin. Every attempt counts, so one contact can fail several times.
-- unit: none
-- counting: count
-- source: pin step=failed
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'pin' AND step = 'failed'
