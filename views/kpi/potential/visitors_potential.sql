-- title: Potential website visitors
-- description: Visitors of the whole website per month, as set for the tenant. The figure holds until a later month changes or ends it, and a month without one is empty.
-- unit: none
-- counting: value
-- source: website_visitors
-- grain: month
SELECT website_visitors AS amount
FROM potential
