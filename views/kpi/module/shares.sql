-- title: Shares
-- description: Different contacts who clicked a share option at least once in the period, whichever way. Split by way of sharing, a contact counts once in each one used.
-- unit: none
-- counting: distinct contacts
-- source: share
-- dims: via, module, experience
SELECT via, module, experience
FROM event
WHERE kind = 'share'
