-- title: Participants
-- description: Different contacts who went through a participation or instant-win module at least once in the period. Whoever takes part several times counts once.
-- unit: none
-- counting: distinct contacts
-- source: participation
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'participation'
