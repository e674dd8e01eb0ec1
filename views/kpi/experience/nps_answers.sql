-- title: NPS answers
-- description: Answers to the NPS survey, with or without a comment. Answers are counted rather than contacts, so a contact who answers twice counts twice.
-- unit: none
-- counting: count
-- source: nps
-- dims: experience, folder, device, module
SELECT experience, device, module
FROM event
WHERE kind = 'nps'
