-- title: Passives
-- description: NPS answers with a score of 7 or 8 on the scale from 0 to 10. Every answer counts, also several from one contact.
-- unit: none
-- counting: count
-- source: nps score 7-8
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'nps' AND score BETWEEN 7 AND 8
