-- title: Code entries
-- description: How often contacts entered a code in a code-entry module, right or wrong. Every entry counts.
-- unit: none
-- counting: count
-- source: code_entry
-- dims: correct, module, experience
SELECT correct, module, experience
FROM event
WHERE kind = 'code_entry'
