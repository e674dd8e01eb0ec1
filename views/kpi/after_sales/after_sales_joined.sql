-- title: Joined
-- description: Invited conversations in which the contact sent a message after the first notification, however much later. They count in the period of that notification.
-- unit: none
-- counting: distinct conversations
-- source: invited in the range and later a message from the contact
-- dims: channel
SELECT channel
FROM after_sales
WHERE joined
