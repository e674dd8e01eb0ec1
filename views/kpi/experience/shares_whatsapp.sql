-- title: Shared via WhatsApp
-- description: Different contacts who clicked the option to share via WhatsApp at least once in the period. Clicking again does not raise the number.
-- unit: none
-- counting: distinct contacts
-- source: share via=whatsapp
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'share' AND via = 'whatsapp'
