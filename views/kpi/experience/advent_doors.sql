-- title: Advent calendar opened
-- description: Different contacts who opened at least one advent calendar door in the period. Several doors of one contact count once.
-- unit: none
-- counting: distinct contacts
-- source: door_opened
-- dims: experience, folder, device
SELECT experience, device
FROM event
WHERE kind = 'door_opened'
