-- title: Pins succeeded
-- description: Login attempts in which the contact entered the e-mailed pin correctly. Every attempt counts.
-- unit: none
-- counting: count
-- source: pin step=succeeded
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'pin' AND step = 'succeeded'
