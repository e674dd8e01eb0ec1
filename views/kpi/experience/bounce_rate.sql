-- title: Bounce rate
-- description: Bounces as a percentage of sessions, calculated from the totals of the period and never averaged from days. Empty when there are no sessions.
-- unit: percent
-- counting: ratio
-- source: 100 * bounces / sessions
-- dims: experience, folder, device
SELECT 100 * bounces / sessions
