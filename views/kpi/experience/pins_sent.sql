-- title: Pins sent
-- description: Login pins sent to contacts by e-mail. Every pin counts, also several to the same contact.
-- unit: none
-- counting: count
-- source: pin step=sent
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'pin' AND step = 'sent'
