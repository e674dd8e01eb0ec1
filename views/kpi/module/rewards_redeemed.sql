-- title: Rewards redeemed
-- description: How often contacts exchanged loyalty points for a reward. Every redemption counts once, however many points it took.
-- unit: none
-- counting: count
-- source: points where < 0
-- dims: module, module_type, experience
SELECT module, experience
FROM event
WHERE kind = 'points' AND points < 0
