SELECT known.request_id, known.step, known.digest, known.answer
FROM unnest($2::uuid[], $3::text[]) AS wanted (request_id, step)
JOIN adjustment_request AS known ON known.tenant_id = $1
    AND known.request_id = wanted.request_id AND known.step = wanted.step
