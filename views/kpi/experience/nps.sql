-- title: NPS
-- description: Net Promoter Score from -100 to 100: the percentage of answers scoring 9 or 10 minus the percentage scoring 0 to 6. A contact who answers twice counts twice, and without answers there is no score.
-- unit: score -100..100
-- counting: score
-- source: 100 * (nps_promoters - nps_detractors) / nps_answers
-- dims: experience, folder, device, module
SELECT 100 * (nps_promoters - nps_detractors) / nps_answers
