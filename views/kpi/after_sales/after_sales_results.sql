-- title: After-sales results
-- description: Results, lead or service, added to after-sales conversations since their first notification. Every result counts, also several in one conversation.
-- unit: none
-- counting: count
-- source: result
-- dims: location, department, user, channel
SELECT department, "user", channel
FROM after_sales_event
WHERE kind = 'result'
