-- title: Opt-ins
-- description: Different contacts with an opt-in step in the period, of any topic: asked, single, double, rejected or opted out. Split by topic and step, a contact counts once in each it took.
-- unit: none
-- counting: distinct contacts
-- source: opt_in
-- dims: topic, step, module, experience
SELECT topic, step, module, experience
FROM event
WHERE kind = 'opt_in'
