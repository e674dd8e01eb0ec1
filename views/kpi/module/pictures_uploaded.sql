-- title: Pictures uploaded
-- description: Pictures that contacts uploaded in the chat. Every upload counts, also several by one contact.
-- unit: none
-- counting: count
-- source: picture_upload
-- dims: module, module_type, experience
SELECT module, experience
FROM event
WHERE kind = 'picture_upload'
