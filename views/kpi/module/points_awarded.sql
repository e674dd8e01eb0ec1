-- title: Points awarded
-- description: Sum of the loyalty points given to contacts. Redeemed points are not subtracted.
-- unit: none
-- counting: sum
-- source: points.points where > 0
-- dims: module, module_type, experience
SELECT points AS amount, module, experience
FROM event
WHERE kind = 'points' AND points > 0
