-- title: Average handling time
-- description: Total handling time divided by the number of live chats, in minutes per live chat. Empty when no live chat ended in the period.
-- unit: minutes
-- counting: ratio
-- source: handling_time_total / live_chats
-- dims: experience, folder, device
SELECT handling_time_total / live_chats
