-- title: NPS distribution
-- description: Number of NPS answers for each score from 0 to 10. Every answer counts, also several from one contact, so the scores add up to all NPS answers.
-- unit: none
-- counting: count
-- source: nps
-- dims: score, experience, folder, device, module
SELECT score, experience, device, module
FROM event
WHERE kind = 'nps'
