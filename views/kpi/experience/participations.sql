-- title: Participations
-- description: How often contacts went through a participation or instant-win module. Someone who takes part several times counts each time.
-- unit: none
-- counting: count
-- source: participation
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'participation'
