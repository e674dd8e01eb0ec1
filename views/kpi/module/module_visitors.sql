-- title: Module visitors
-- description: Different contacts to whom a module was shown at least once in the period. A contact counts once per module, and once in the total over all modules.
-- unit: none
-- counting: distinct contacts
-- source: module_visit
-- dims: module, module_type, experience
SELECT module, experience
FROM event
WHERE kind = 'module_visit'
