-- title: Engaged
-- description: Joined conversations in which a user sent a message after the contact had joined, however much later. They count in the period of the first notification.
-- unit: none
-- counting: distinct conversations
-- source: joined and after that a message from a user
-- dims: channel
SELECT channel
FROM after_sales
WHERE engaged
