-- title: Shared via e-mail
-- description: Different contacts who clicked the option to share via e-mail at least once in the period. Clicking again does not raise the number.
-- unit: none
-- counting: distinct contacts
-- source: share via=email
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'share' AND via = 'email'
