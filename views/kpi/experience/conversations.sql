-- title: Conversations
-- description: Chat starts that the contact answered with a message or click in the same experience before starting it again. Each counts once, at that first interaction.
-- unit: none
-- counting: count
-- source: chat starts answered by the contact (rules.md)
-- dims: experience, folder, device
SELECT experience, device
FROM answered_start
