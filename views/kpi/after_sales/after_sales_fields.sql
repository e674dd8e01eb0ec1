-- title: After-sales fields
-- description: How often a data field was filled in an after-sales conversation since its first notification. Filling the same field again counts again.
-- unit: none
-- counting: count
-- source: field_set
-- dims: location, department, user, channel
SELECT department, "user", channel
FROM after_sales_event
WHERE kind = 'field_set'
