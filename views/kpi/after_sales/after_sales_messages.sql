-- title: After-sales messages
-- description: Messages in after-sales conversations since their first notification, from contacts, users and bots. Every message counts.
-- unit: none
-- counting: count
-- source: message
-- dims: location, department, user, channel
SELECT department, "user", channel
FROM after_sales_event
WHERE kind = 'message'
