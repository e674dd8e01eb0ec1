-- title: Chats benchmark
-- description: Expected chats per month: potential website visitors times effective chats per counted visit of tenants of the same business type. Empty with fewer than three other tenants with visits.
-- unit: none
-- counting: value
-- source: visitors_potential * average conversion (rules.md)
-- grain: month
SELECT expected_chats AS amount
FROM benchmark
