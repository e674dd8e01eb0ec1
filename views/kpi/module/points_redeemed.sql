-- title: Points redeemed
-- description: Sum of the loyalty points that contacts exchanged for rewards, given as a positive number.
-- unit: none
-- counting: sum
-- source: -points.points where < 0
-- dims: module, module_type, experience
SELECT -points AS amount, module, experience
FROM event
WHERE kind = 'points' AND points < 0
