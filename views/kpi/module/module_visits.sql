-- title: Module visits
-- description: How often modules were shown in the chat. Every showing counts, also again to the same contact.
-- unit: none
-- counting: count
-- source: module_visit
-- dims: module, module_type, experience
SELECT module, experience
FROM event
WHERE kind = 'module_visit'
