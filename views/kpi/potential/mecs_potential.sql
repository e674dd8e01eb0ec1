-- title: Potential MECs
-- description: Inbound leads plus workshop jobs per month, as set for the tenant. Each figure holds until a later month changes or ends it, and a month that lacks one of the two is empty.
-- unit: none
-- counting: value
-- source: inbound_leads + workshop_jobs
-- grain: month
SELECT inbound_leads + workshop_jobs AS amount
FROM potential
