-- title: After-sales conversations
-- description: Different conversations with at least one after-sales session that started in the period. Several sessions of one conversation count once.
-- unit: none
-- counting: distinct conversations
-- source: after-sales session, counted at its start, with its dims
-- dims: location, department, user, channel
SELECT department, "user", channel
FROM after_sales_session
