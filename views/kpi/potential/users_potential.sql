-- title: Potential users
-- description: Sales advisors plus service advisors per month, as set for the tenant. Each figure holds until a later month changes or ends it, and over several months the latest value stands.
-- unit: none
-- counting: value
-- source: sales_advisors + service_advisors
-- grain: month
-- level: yes
SELECT sales_advisors + service_advisors AS amount
FROM potential
