-- title: Points receivers
-- description: Different contacts who were awarded loyalty points at least once in the period.
-- unit: none
-- counting: distinct contacts
-- source: points where > 0
-- dims: module, module_type, experience
SELECT module, experience
FROM event
WHERE kind = 'points' AND points > 0
