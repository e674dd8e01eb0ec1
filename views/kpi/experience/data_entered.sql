-- title: Data entered
-- description: How often contacts entered personal data, such as a postal address. Each entry of a field counts, also when the same contact enters it again.
-- unit: none
-- counting: count
-- source: data_entered
-- dims: field, experience, folder, device
SELECT field, experience, device
FROM event
WHERE kind = 'data_entered'
