-- title: After-sales sessions
-- description: Sessions per after-sales conversation, made of messages from the contact or users, not bots. By default a new one opens after more than the tenant's session length (30 minutes unless set otherwise) without one.
-- unit: none
-- counting: sessions
-- source: Sessions
-- dims: location, department, user, channel
SELECT department, "user", channel
FROM after_sales_session
