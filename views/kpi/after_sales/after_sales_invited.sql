-- title: Invited
-- description: Conversations whose first after-sales notification was sent in the period. Each counts once, and later notifications in it do not count again.
-- unit: none
-- counting: distinct conversations
-- source: a conversation's first notification
-- dims: channel
SELECT channel
FROM after_sales
