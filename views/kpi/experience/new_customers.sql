-- title: New customers
-- description: Contacts who entered an e-mail address for the first time ever in the period. Each contact counts only once in all history, where that first entry took place.
-- unit: none
-- counting: first contacts
-- source: email_entered
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM first_email
