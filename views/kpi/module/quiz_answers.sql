-- title: Quiz answers
-- description: Answers that contacts gave to quiz questions, right and wrong. Every answer counts, also several to the same question.
-- unit: none
-- counting: count
-- source: quiz_answer
-- dims: question, answer, correct, module, experience
SELECT question, answer, correct, module, experience
FROM event
WHERE kind = 'quiz_answer'
