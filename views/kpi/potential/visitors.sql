-- title: Website visitors
-- description: Website visits reported by the chat widget, month by month. A visit less than the tenant's session length (30 minutes unless set otherwise) after the contact's last counted one is not counted again.
-- unit: none
-- counting: count
-- source: counted visits (rules.md)
-- grain: month
SELECT
FROM counted_visit
