-- title: Decisions
-- description: How often contacts picked an option in a decision jump. Every pick counts, also repeated ones by the same contact.
-- unit: none
-- counting: count
-- source: decision
-- dims: option, module, experience
SELECT option, module, experience
FROM event
WHERE kind = 'decision'
