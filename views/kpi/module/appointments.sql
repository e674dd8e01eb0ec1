-- title: Appointments
-- description: Appointments that were booked in the chat. Each booking counts at the moment of booking, not on the date of the appointment.
-- unit: none
-- counting: count
-- source: appointment
-- dims: module, module_type, experience
SELECT module, experience
FROM event
WHERE kind = 'appointment'
