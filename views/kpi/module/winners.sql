-- title: Winners
-- description: Participations that ended in a win. Wins are counted, not people, so a contact who wins twice counts twice.
-- unit: none
-- counting: count
-- source: participation won=true
-- dims: module, module_type, experience
SELECT module, experience
FROM event
WHERE kind = 'participation' AND won
