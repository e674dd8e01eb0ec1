-- title: Active users
-- description: Different users, members of staff without the role guest, who are named in at least one event of the calendar month, of whatever type.
-- unit: none
-- counting: distinct users
-- source: any event that names a user whose role is not guest
-- grain: month
SELECT
FROM event
WHERE user_no IS NOT NULL AND NOT EXISTS (
    SELECT FROM staff WHERE staff.user_no = event.user_no AND staff.guest
)
