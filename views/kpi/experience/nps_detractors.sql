-- title: Detractors
-- description: NPS answers with a score of 0 to 6 on the scale from 0 to 10. Every answer counts, also several from one contact.
-- unit: none
-- counting: count
-- source: nps score 0-6
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'nps' AND score BETWEEN 0 AND 6
