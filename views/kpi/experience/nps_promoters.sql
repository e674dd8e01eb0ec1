-- title: Promoters
-- description: NPS answers with a score of 9 or 10 on the scale from 0 to 10. Every answer counts, also several from one contact.
-- unit: none
-- counting: count
-- source: nps score 9-10
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'nps' AND score BETWEEN 9 AND 10
