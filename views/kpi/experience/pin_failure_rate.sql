-- title: Pin failure rate
-- description: Failed pin entries as a percentage of all pin entries, failed and succeeded together. Pins that were sent but never entered play no part, and without entries it is empty.
-- unit: percent
-- counting: ratio
-- source: 100 * pins_failed / (pins_failed + pins_succeeded)
-- dims: experience, folder, device, module
SELECT 100 * pins_failed / (pins_failed + pins_succeeded)
