-- title: Shared natively
-- description: Different contacts who clicked the native sharing button at least once in the period. Clicking again does not raise the number.
-- unit: none
-- counting: distinct contacts
-- source: share via=native
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'share' AND via = 'native'
