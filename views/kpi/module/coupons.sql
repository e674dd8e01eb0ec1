-- title: Coupons
-- description: Number of coupons uploaded, issued and entered, added up from the amount each record names (one if it names none). Split by step to read the three apart.
-- unit: none
-- counting: sum
-- source: coupon.amount
-- dims: step, module, experience
SELECT coalesce(amount, 1) AS amount, step, module, experience
FROM event
WHERE kind = 'coupon'
