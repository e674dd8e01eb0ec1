-- title: Losers
-- description: Participations that ended without a win. Each one counts, and participations without a known outcome are left out.
-- unit: none
-- counting: count
-- source: participation won=false
-- dims: module, module_type, experience
SELECT module, experience
FROM event
WHERE kind = 'participation' AND NOT won
