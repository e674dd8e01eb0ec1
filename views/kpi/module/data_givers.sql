-- title: Personal data givers
-- description: Different contacts who entered personal data at least once in the period. Split by field, a contact counts once for each field entered.
-- unit: none
-- counting: distinct contacts
-- source: data_entered
-- dims: field, module, experience
SELECT field, module, experience
FROM event
WHERE kind = 'data_entered'
